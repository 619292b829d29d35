"""Checks the first line of a CSV: column names, or data that would be read as names."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import polars as pl

from shortlist.data.sources.errors import SourceError, named

_ROWS = 1_000
_NUMBER = re.compile(r"[-+]?\d+(?:[.,]\d+)?(?:[eE][-+]?\d+)?")
_DATE = re.compile(r"\d{4}[-/.]\d\d?[-/.]\d\d?(?:[T ]\d.*)?|\d\d?[-/.]\d\d?[-/.]\d{2,4}(?: .*)?")
_UNLIKE_A_NAME = re.compile(
    r"[-+]?\d+[.,]\d+|[-+]?\d{6,}|\d{4}-\d\d-\d\d[T ]\d\d:.*|\d\d?[./]\d\d?[./]\d{2,4}.*"
    r"|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|\S+@\S+\.\w+"
)
"""Fractions, long numbers, times, UUIDs and addresses."""
_YEAR = re.compile(r"(?:19|20)\d\d")
_MISSING = re.compile(r"\s*|-|\\N|n/?a|nan|none|null", re.IGNORECASE)

Kind = Literal["number", "date", "text"]


def check_names(names: Sequence[str], file: str) -> None:
    """Raises SourceError for a name that Polars reads as a wildcard or as a regular expression."""
    for name in names:
        if name == "*" or (name.startswith("^") and name.endswith("$")):
            raise SourceError(
                f"{file}: the column {name!r} has a name that means several columns to the reader; "
                "rename it in the file"
            )


def check_header(names: list[str], rows: pl.LazyFrame, file: str, *, declared: bool) -> None:
    """Raises SourceError when a name is empty, duplicate or a pattern, or when the names look like data.

    `rows` are the rows below the names, as text. With `declared`, the recipe says that there is a header: names may
    then look like data, and columns may have no name.
    """
    check_names(names, file)
    twice = [name for name, count in Counter(filter(str.strip, names)).items() if count > 1]
    if twice:
        raise SourceError(
            f"{file}: line 1: the column {named(twice)} occurs twice; rename one in the file, or write "
            "`header: false` if the first line is data"
        )
    if declared:
        return
    head = rows.head(_ROWS).collect()
    below = [head.to_series(at).drop_nulls().to_list() for at in range(min(len(names), head.width))]
    empty = [str(at) for at, name in enumerate(names, 1) if not name.strip()]
    if empty and not (empty == ["1"] and is_row_number(below[0])):
        raise SourceError(
            f"{file}: line 1: the column at position {named(empty)} has no name; name it in the file, write `header: "
            "false` if the first line is data, or `header: true` if the column is not needed"
        )
    if look_like_data(names, below):
        raise SourceError(
            f"{file}: line 1 looks like data, not like names ({named(names, 6)}); write `header: false` to name the "
            "columns column_1, column_2, ...; write `header: true` if these are their names"
        )


def look_like_data(names: Sequence[str], below: Sequence[list[str]]) -> bool:
    """Whether the names look like the values below them: they have the same kind, or occur among them.

    A column of numbers or dates with another kind of name shows that the line is a header, whatever the other names.
    """
    kinds = [_kind(values) for values in below]
    if any(kind and kind != "text" and _kind([name]) == "text" for name, kind in zip(names, kinds, strict=True)):
        return False
    if any(_UNLIKE_A_NAME.fullmatch(name) for name in names):
        return True
    same_kind = [n for n, kind in zip(names, kinds, strict=True) if kind in ("number", "date") and _kind([n]) == kind]
    parts_of_a_vector = len(same_kind) < len(names) and _is_counting(same_kind)
    if any(not _YEAR.fullmatch(name) for name in same_kind) and not parts_of_a_vector:
        return True
    found = sum(bool(name.strip()) and name in values for name, values in zip(names, below, strict=True))
    return len(names) > 1 and found * 2 >= len(names)


def _kind(values: Sequence[str]) -> Kind | None:
    """The common kind of all values that are not missing; None if there are none."""
    present = [value for value in values if not _MISSING.fullmatch(value)]
    if not present:
        return None
    if all(_NUMBER.fullmatch(value) for value in present):
        return "number"
    return "date" if all(_DATE.fullmatch(value) for value in present) else "text"


def _is_counting(texts: Sequence[str]) -> bool:
    """Whether texts are consecutive whole numbers."""
    return len(texts) > 1 and all(a.isdigit() and b.isdigit() and int(b) == int(a) + 1 for a, b in pairwise(texts))


def is_row_number(values: Sequence[str]) -> bool:
    """Whether a column contains row numbers, like the unnamed index column of pandas."""
    return bool(values) and (len(values) == 1 or _is_counting(values))
