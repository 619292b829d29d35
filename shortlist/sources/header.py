"""The first line of a CSV: names of columns, or data that is taken for names."""

import re
from collections import Counter

import polars as pl

from shortlist.sources.errors import SourceError, named

_PERHAPS = re.compile(r"[-+]?\d+|\d{4}-\d\d-\d\d")
"""Data, or the years of a table that has a column for each."""
_SURELY = re.compile(r"[-+]?\d+[.,]\d+|[-+]?\d{6,}|\d{4}-\d\d-\d\d[T ]\d\d:.*|\d{1,2}[./]\d{1,2}[./]\d{2,4}.*")
_ROWS = 1_000


def check_header(names: list[str], rows: pl.LazyFrame, file: str, *, declared: bool) -> None:
    """Raises SourceError when a name is empty or there twice, or when the names look like data.

    `rows` are those below the names. `declared` is whether the recipe itself says that there is a header; then names
    that look like data are names.
    """
    empty = [str(at) for at, name in enumerate(names, 1) if not name.strip()]
    if empty:
        raise SourceError(
            f"{file}: line 1: the column in place {named(empty)} has no name; name it in the file, or write "
            "`header: false` if the first line holds data"
        )
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise SourceError(
            f"{file}: line 1: the column {named(twice)} is there twice; rename one in the file, or write "
            "`header: false` if the first line holds data"
        )
    if declared:
        return
    surely = any(_SURELY.fullmatch(name) for name in names)
    if surely or all(_PERHAPS.fullmatch(name) for name in names) or (len(names) > 1 and _occur_below(names, rows)):
        raise SourceError(
            f"{file}: line 1 looks like data and not like names ({named(names, 6)}); write `header: false`, and the "
            "columns are called column_1, column_2, ...; write `header: true` if these really are their names"
        )


def _occur_below(names: list[str], rows: pl.LazyFrame) -> bool:
    """Whether each name is also a value of its own column, among the first rows."""
    head = rows.head(_ROWS).collect()
    return bool(head.height) and all(name in head.to_series(at) for at, name in enumerate(names))
