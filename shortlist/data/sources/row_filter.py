"""The `where` of a file: drops rows before all other steps."""

from dataclasses import dataclass

import polars as pl

from shortlist.data.sources.expressions import bind, condition


@dataclass(frozen=True)
class Filtered:
    """The rows that are kept, and the number of dropped rows."""

    frame: pl.LazyFrame
    left_out: pl.LazyFrame
    """The number of dropped rows, computed lazily."""


def filtered(frame: pl.LazyFrame, sql: str, where: str, file: str) -> Filtered:
    """The rows for which the expression is true; null counts as false.

    Raises SourceError when it is not a boolean expression over the file's columns.
    """
    value = bind(sql, frame.collect_schema(), where=where, file=file)
    keep = condition(value, frame, sql, where=where, example="quantity > 0")
    return Filtered(frame.filter(keep), frame.select((~keep).sum().alias("left_out")))
