"""`where`: rows of a file that are left out on purpose, before anything else sees them."""

from dataclasses import dataclass

import polars as pl

from shortlist.sources.errors import SourceError
from shortlist.sources.expressions import bind


@dataclass(frozen=True)
class Filtered:
    """The rows that are kept, and how many are not."""

    frame: pl.LazyFrame
    left_out: pl.LazyFrame
    """One number, counted when it is collected."""


def filtered(frame: pl.LazyFrame, sql: str, where: str, file: str) -> Filtered:
    """The rows for which the expression is true; a row for which it is null is left out too.

    Raises SourceError when it is no expression over the file's columns, or gives something else than true or false.
    """
    keep = bind(sql, frame.collect_schema(), where=where, file=file)
    kind = frame.select(keep.alias("keep")).collect_schema()["keep"]
    if kind != pl.Boolean:
        raise SourceError(f"{where}: {sql!r} gives {kind}, not TRUE or FALSE; write a comparison, like `quantity > 0`")
    keep = keep.fill_null(value=False)
    return Filtered(frame.filter(keep), frame.select((~keep).sum().alias("left_out")))
