"""Errors in raw data, with one message that names the place and a remedy."""

import difflib
from collections.abc import Iterable


class SourceError(ValueError):
    """Raw data cannot be read; the message says which file, what is wrong and how to fix it."""


class MissingSourceError(SourceError):
    """A file of the recipe does not exist."""


def near(word: str, words: Iterable[str]) -> str:
    """`; did you mean 'x'?` if one of the words is similar, otherwise empty."""
    found = difflib.get_close_matches(word, list(words), n=1, cutoff=0.5)
    return f"; did you mean {found[0]!r}?" if found else ""


def named(words: Iterable[str], most: int = 30) -> str:
    """The words as a list, truncated after `most`."""
    words = list(words)
    rest = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + rest


def missing_column(where: str, column: str, file: str, there: Iterable[str]) -> SourceError:
    """The error for a recipe that names a column which the file does not have."""
    there = list(there)
    return SourceError(f"{where}: {file} has no column {column!r}{near(column, there)} It has: {named(there)}")
