"""What is wrong with the data: one message that names the place and the mend."""

import difflib
import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl


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


@contextmanager
def disk_errors(writing: Path) -> Iterator[None]:
    """Turn a full disk, met by Python or inside Polars, into a SourceError that names the folder."""
    try:
        yield
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if full or "No space left on device" in str(error) or "Disk quota exceeded" in str(error):
            raise SourceError(
                f"{writing}: the disk is full; nothing was written there. Free some space or choose another folder"
            ) from None
        raise
