"""`where`: rows of a file that are left out on purpose, before anything else sees them."""

from dataclasses import dataclass

import polars as pl

from shortlist.data.sources.expressions import bind, condition


@dataclass(frozen=True)
class Filtered:
    """The rows that are kept, and how many are not."""

    frame: pl.LazyFrame
    left_out: pl.LazyFrame
    """One number, counted when it is collected."""


def filtered(frame: pl.LazyFrame, sql: str, where: str, file: str) -> Filtered:
    """The rows for which the expression is true; a row for which it is null is left out too.

    Raises SourceError when it is not an expression over the file's columns, or gives something else than true or false.
    """
    value = bind(sql, frame.collect_schema(), where=where, file=file)
    keep = condition(value, frame, sql, where=where, example="quantity > 0")
    return Filtered(frame.filter(keep), frame.select((~keep).sum().alias("left_out")))
