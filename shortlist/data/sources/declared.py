"""Applies the `types` and `nulls` that a recipe declares for a file's columns, before expressions are evaluated."""

from collections.abc import Mapping

import polars as pl

from shortlist.data.keys import EXACT_IN_A_DOUBLE
from shortlist.data.sources.errors import SourceError, missing_column
from shortlist.data.sources.locate import Found
from shortlist.recipe import ColumnType, DataFile

_TRUTHS = {"true": True, "false": False, "1": True, "0": False}
_KINDS = {"text": "text", "integer": "a whole number of 64 bits", "number": "a number", "boolean": "true or false"}


def declared(frame: pl.LazyFrame, file: Found, table: DataFile) -> pl.LazyFrame:
    """The columns of one file with declared nulls and types.

    Raises SourceError for a missing column, and for the first value that is not of its declared type.
    """
    schema = frame.collect_schema()
    by_column = table.nulls if isinstance(table.nulls, Mapping) else {}
    for where, names in (("types", table.types), ("nulls", by_column)):
        for name in names:
            if name not in schema:
                raise missing_column(where, name, file.name, schema.names())
    frame = frame.with_columns(_without(name, dtype, table, file) for name, dtype in schema.items())
    casts = {name: _cast(pl.col(name), schema[name], kind) for name, kind in table.types.items()}
    for name, kind in table.types.items():
        if casts[name] is None:
            raise SourceError(
                f"{file.name}: types: {name!r} is a column of {schema[name]}, which cannot be converted to {kind}; "
                "derive a column from its parts in `columns`"
            )
    _check(frame, file, table, {name: cast for name, cast in casts.items() if cast is not None})
    return frame.with_columns(cast.alias(name) for name, cast in casts.items() if cast is not None)


def _without(name: str, dtype: pl.DataType, table: DataFile, file: Found) -> pl.Expr:
    """The column, with declared words replaced by null."""
    value, words = pl.col(name), table.nulls or []
    if isinstance(words, Mapping):
        words = words.get(name, [])
        if words and not (_is_text(dtype) or dtype.is_integer() or dtype == pl.Null):
            raise SourceError(
                f"{file.name}: nulls: {name!r} is a column of {dtype}; `nulls` supports text and whole numbers. "
                "Use NULLIF in `columns`"
            )
    elif not _is_text(dtype):
        return value
    missing = value.cast(pl.String).is_in(words).fill_null(value=False)
    return pl.when(~missing).then(value).alias(name) if words else value


def _cast(value: pl.Expr, dtype: pl.DataType, kind: ColumnType) -> pl.Expr | None:
    """The column cast to its type, null for values that are not of it; None if no value can be."""
    if dtype == pl.Null:
        return value.cast({"text": pl.String, "integer": pl.Int64, "number": pl.Float64, "boolean": pl.Boolean}[kind]())
    if not (_is_text(dtype) or dtype.is_numeric() or dtype in (pl.Boolean, pl.Binary)):
        return None
    text = value.cast(pl.String, strict=False)
    whole = value
    if dtype.is_float():
        is_whole = value == value.floor()
        whole = pl.when(is_whole & (value.abs() < EXACT_IN_A_DOUBLE)).then(value).cast(pl.Int64)
        # A double that is an exact integer becomes its digits; any other its shortest decimal.
        text = pl.when(is_whole).then(whole.cast(pl.String)).otherwise(text)
    elif dtype.is_decimal():
        whole = text = text.str.replace(r"\.0*$", "")
    number = value.cast(pl.Float64, strict=False)
    casts = {
        "text": text,
        "integer": whole.cast(pl.Int64, strict=False),
        "number": pl.when(number.is_finite()).then(number) if _is_text(dtype) else number,
        "boolean": text.str.to_lowercase().replace_strict(_TRUTHS, default=None, return_dtype=pl.Boolean),
    }
    return casts[kind]


def _check(frame: pl.LazyFrame, file: Found, table: DataFile, casts: Mapping[str, pl.Expr]) -> None:
    """Find the first value that its declared type turns into null, in one pass over the declared columns."""
    if not casts:
        return
    lost = {name: pl.col(name).is_not_null() & cast.is_null() for name, cast in casts.items()}
    found = frame.select(test.any().alias(name) for name, test in lost.items()).collect(engine="streaming")
    for name in (name for name in casts if found[name].item()):
        first = frame.select(name).with_row_index("row", offset=1).filter(lost[name]).head(1)
        row, value = first.collect(engine="streaming").row(0)
        raise SourceError(
            f"{file.name}: row {row}, column {name!r}: {value!r} is not {_KINDS[table.types[name]]}, as declared in "
            f"`types`; correct the value, list it under `nulls` if it means a missing one, or declare another type"
        )


def _is_text(dtype: pl.DataType) -> bool:
    return dtype == pl.String or isinstance(dtype, pl.Categorical | pl.Enum)
