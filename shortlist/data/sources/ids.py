"""Converts the ids of several tables to one type without loss: Int64 if all tables have 64-bit integers, else text.

Distinct ids always stay distinct. Integers and text keep all digits; doubles and decimals are accepted only if all
values are whole numbers, doubles below 2^53. Otherwise the run stops with the column and a value.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from shortlist.data.keys import EXACT_IN_A_DOUBLE
from shortlist.data.sources.errors import SourceError

_PADDED = r"^[+-]?0*[0-9]+(?:\.0*)?$"
_SPELLING = r"^\+?(-?)0*([0-9]+?)(?:\.0*)?$"


@dataclass(frozen=True)
class IdColumn:
    """A column of ids in one table, with the user's names of the column and the file."""

    frame: pl.LazyFrame
    name: str
    where: str
    """YAML path of the table."""
    file: str

    @property
    def dtype(self) -> pl.DataType:
        return self.frame.collect_schema()[self.name]


def ids(columns: Sequence[IdColumn]) -> list[pl.Expr]:
    """An expression for each column, all of one type, Int64 or String.

    Raises SourceError for a type or a value that is not an id, and if text in one table is another form of an integer
    in another table, like "007" and 7.
    """
    exact = [_exact(column) for column in columns]
    kinds = [_kind(column, value) for column, value in zip(columns, exact, strict=True)]
    if "text" not in kinds:
        return [value.cast(pl.Int64).alias(column.name) for column, value in zip(columns, exact, strict=True)]
    values = [value.cast(pl.String).alias(column.name) for column, value in zip(columns, exact, strict=True)]
    if "integer" in kinds:
        _check_spelling(columns, kinds, values)
    return values


def _exact(column: IdColumn) -> pl.Expr:
    """The column as integers or text. Raises SourceError."""
    value, dtype = pl.col(column.name), column.dtype
    if dtype.is_float():
        _check_whole(column, value.is_nan() | ((value == value.floor()) & (value.abs() < EXACT_IN_A_DOUBLE)))
        return value.fill_nan(None).cast(pl.Int64)
    if dtype.is_decimal():
        digits = value.cast(pl.String).str.replace(r"\.0*$", "")
        _check_whole(column, ~digits.str.contains(".", literal=True))
        return digits
    if dtype in (pl.Boolean, pl.Binary, pl.Duration) or dtype.is_nested():
        raise SourceError(
            f"{column.where}.columns.{column.name}: {column.file}: a column of {dtype} cannot contain ids; use another "
            f"column. {_remedy(column)}"
        )
    return value


def _check_whole(column: IdColumn, is_id: pl.Expr) -> None:
    odd = column.frame.select(column.name).filter(~is_id).head(1).collect(engine="streaming")
    if odd.is_empty():
        return
    value = odd.item()
    why = "a fraction" if abs(value) < EXACT_IN_A_DOUBLE else "not below 2^53, where several integers are one double"
    raise SourceError(
        f"{column.where}.columns.{column.name}: {column.file}: the ids are of type {column.dtype}, and {value!r} is "
        f"{why}. {_remedy(column)}"
    )


def _remedy(column: IdColumn) -> str:
    return (
        "Ids must be text or whole numbers: write the file with such a column, or, for CSV and JSON lines, declare "
        f"`types: {{<its column>: text}}` in {column.where}"
    )


def _kind(column: IdColumn, value: pl.Expr) -> str:
    """`integer`, `text`, or `nothing` for a column without values."""
    dtype = column.dtype
    if dtype == pl.Null:
        return "nothing"
    if dtype.is_float():
        return "integer"
    if dtype in (pl.UInt64, pl.Int128, pl.UInt128) or dtype.is_decimal():
        large = (value.cast(pl.Int64, strict=False).is_null() & value.is_not_null()).any()
        return "text" if column.frame.select(large).collect(engine="streaming").item() else "integer"
    return "integer" if dtype.is_integer() else "text"


def _check_spelling(columns: Sequence[IdColumn], kinds: Sequence[str], values: Sequence[pl.Expr]) -> None:
    """Raises SourceError if text in one table equals an integer in another, except for leading zeros, `+` or `.0`."""
    integers = [
        (column, column.frame.select(id=value))
        for column, kind, value in zip(columns, kinds, values, strict=True)
        if kind == "integer"
    ]
    for column, kind, value in zip(columns, kinds, values, strict=True):
        if kind != "text":
            continue
        padded = column.frame.select(text=value).filter(pl.col("text").str.contains(_PADDED))
        padded = padded.with_columns(id=pl.col("text").str.replace(_SPELLING, "${1}${2}"))
        spelt = padded.filter(pl.col("text") != pl.col("id")).unique().collect(engine="streaming")
        if spelt.is_empty():
            continue
        for other, numbers in integers:
            both = spelt.lazy().join(numbers, on="id", how="semi").head(1).collect(engine="streaming")
            if not both.is_empty():
                text, number = both.row(0)
                raise SourceError(
                    f"{column.where}.columns.{column.name}: {column.file} has the text {text!r} and {other.file} the "
                    f"number {number}: these are two different ids. If they mean the same, use one form in both files: "
                    f"declare `types: {{<column>: integer}}` in {column.where}, or text and LPAD in {other.where}"
                )


def as_mixed(columns: Sequence[IdColumn]) -> bool:
    """Whether the columns must be converted as ids before a join: doubles, or different types."""
    dtypes = [column.dtype for column in columns]
    return any(dtype.is_float() for dtype in dtypes) or len({dtype.is_integer() for dtype in dtypes}) > 1
