"""What is wrong with the data: one message that names the place and the mend."""

import difflib
from collections.abc import Iterable


class SourceError(ValueError):
    """Raw data that cannot be read; the message says which file, what is wrong and how to mend it."""


class MissingSourceError(SourceError):
    """There is no file where the recipe says."""


def near(word: str, words: Iterable[str]) -> str:
    """`; did you mean 'x'?` when one of the words is close, else nothing."""
    found = difflib.get_close_matches(word, list(words), n=1, cutoff=0.5)
    return f"; did you mean {found[0]!r}?" if found else ""


def named(words: Iterable[str], most: int = 30) -> str:
    """The words in a row, cut after `most`."""
    words = list(words)
    rest = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + rest


def missing_column(where: str, column: str, file: str, there: Iterable[str]) -> SourceError:
    """The error for a recipe that names a column which the file does not have."""
    there = list(there)
    return SourceError(f"{where}: {file} has no column {column!r}{near(column, there)} It has: {named(there)}")
