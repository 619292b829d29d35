"""The feature columns of a recipe, each converted to the type of its use."""

from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from shortlist.data.categories import Kind
from shortlist.data.category_columns import inner_of, keys_of, kind_of
from shortlist.data.sources import RawTable, SourceError
from shortlist.data.sources.errors import missing_column
from shortlist.data.tables import Wanted, wanted_columns
from shortlist.recipe import Recipe


def feature_columns(
    wanted: list[Wanted], table: RawTable, schema: pl.Schema, kinds: Mapping[str, Kind]
) -> Iterator[pl.Expr]:
    """The feature columns of a table; `kinds` has the kinds of categorical columns over all tables."""
    for column in wanted:
        if column.name not in schema:
            raise missing_column(column.where, column.name, table.name, schema.names())
        value, kind = pl.col(column.name), schema[column.name]
        _check_kind(column, table, kind)
        if column.kind == "categorical":
            alone = _kind(column, table, kind)
            yield _categorical(value, kind, kinds.get(column.name, alone))
        elif column.kind == "numeric":
            yield value.cast(pl.Float64, strict=False)
        elif column.kind in ("title", "text"):
            # Numbers are written as in a query: 3 for 3.0 in the file.
            words = _by_value(value, kind) if inner_of(kind).is_float() else value
            if column.kind == "text" and isinstance(kind, pl.List | pl.Array):
                words = words.cast(pl.List(pl.String)).list.join(" ")
            yield words.cast(pl.String, strict=False)
        elif column.kind == "embedding":
            if not isinstance(kind, pl.List | pl.Array):
                raise SourceError(f"{column.where}: {column.name!r} of {table.name} is {kind}, not a list of numbers")
            yield value.cast(pl.List(pl.Float32), strict=False)
        else:
            yield value


def _kind(column: Wanted, table: RawTable, dtype: pl.DataType) -> Kind:
    try:
        return kind_of(dtype, f"{column.where}: {table.name}")
    except ValueError as error:
        raise SourceError(str(error)) from None


def _check_kind(column: Wanted, table: RawTable, dtype: pl.DataType) -> None:
    """Raises SourceError for a type without numbers and words; `kind_of` checks categorical columns."""
    if column.kind in ("raw", "categorical", "embedding"):
        return
    inner = dtype if column.kind == "numeric" else inner_of(dtype)
    if inner.is_nested() or inner in (pl.Binary, pl.Object, pl.Duration):
        raise SourceError(
            f"{column.where}: {column.name!r} of {table.name} is a column of {dtype}; convert it "
            f"to {'numbers' if column.kind == 'numeric' else 'text'} in the source's columns"
        )


def common_kinds(recipe: Recipe, logs: Sequence[tuple[RawTable, pl.LazyFrame]]) -> dict[str, Kind]:
    """The kind of each categorical column of the events: text if the files differ."""
    kinds: dict[str, Kind] = {}
    for column in wanted_columns(recipe, "events"):
        found = [(table, frame.collect_schema().get(column.name)) for table, frame in logs]
        if column.kind == "categorical":
            each = {_kind(column, table, kind) for table, kind in found if kind is not None}
            kinds[column.name] = each.pop() if len(each) == 1 else "text"
    return kinds


def _categorical(value: pl.Expr, dtype: pl.DataType, kind: Kind) -> pl.Expr:
    """The column in a type that keeps all values and their kind; types that only Parquet supports become text."""
    inner = inner_of(dtype)
    if kind == "integer":
        plain: pl.DataType = pl.Int64()
    elif kind == "boolean":
        plain = pl.Boolean()
    elif kind == "number" and inner.is_float():
        plain = pl.Float64()
        if inner != pl.Float64:
            # Through text, so that a 32-bit 0.1 becomes the double 0.1.
            value = value.cast(pl.List(pl.String) if inner != dtype else pl.String)
    else:
        plain = pl.String()
        if inner.is_numeric():
            return _by_value(value, dtype)
    return value.cast(pl.List(plain) if inner != dtype else plain, strict=False)


def _by_value(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Numbers, or lists of numbers, as canonical text."""

    def spelt(series: pl.Series) -> pl.Series:
        return keys_of(series, "text")

    if inner_of(dtype) != dtype:
        one = pl.element().map_batches(spelt, return_dtype=pl.String, is_elementwise=True)
        return value.cast(pl.List(inner_of(dtype))).list.eval(one)
    return value.map_batches(spelt, return_dtype=pl.String, is_elementwise=True)
