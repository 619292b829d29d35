"""Finds rows that repeat the key of an earlier row, exactly and in bounded memory."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.tables import scan_file

_BYTES_PER_ROW = 120
"""The memory of a row in the worst case, where all keys are repeated; measured with a key of three integers."""


class Duplicates:
    """The rows of a table whose key occurs in an earlier row, stored on disk.

    A key with a null part is never a duplicate, and without key columns there are no duplicates.
    """

    def __init__(self, table: Path, key: list[str], memory_bytes: float, scratch: Path) -> None:
        """Read the table once for each part of the hash space that fits into memory.

        Equal hashes give few candidates, so that the keys are only compared for these.
        """
        self._rows: list[NDArray[np.int64]] = []
        """The ascending row numbers of each part with duplicates."""
        if not key:
            return
        rows = int(scan_file(table).select(pl.len()).collect().item())
        hashed = (
            scan_file(table)
            .select(key)
            .with_row_index("__row__")
            .filter(pl.all_horizontal(pl.col(key).is_not_null()))
            .with_columns(pl.struct(key).hash().alias("__hash__"))
        )
        parts = max(1, int(np.ceil(rows * _BYTES_PER_ROW / memory_bytes)))
        for part in range(parts):
            later = _later(hashed.filter(pl.col("__hash__") % parts == part), key)
            if later is not None:
                # Not through a writable memory map, with which a full disk would kill the process without an error.
                file = scratch / f"{table.stem}-{part}.i64"
                file.write_bytes(later.astype(np.int64).tobytes())
                self._rows.append(np.memmap(file, np.int64, "r"))

    def among(self, start: int, count: int) -> NDArray[np.bool_]:
        """Whether each of the `count` rows from `start` on is a duplicate: bool [count]."""
        found = np.zeros(count, np.bool_)
        for rows in self._rows:
            first, end = np.searchsorted(rows, [start, start + count])
            found[rows[first:end] - start] = True
        return found


def _later(hashed: pl.LazyFrame, key: list[str]) -> NDArray[Any] | None:
    """The ascending numbers of the rows that are not the first with their key; None if there are none."""
    hashes = hashed.select("__hash__").collect(engine="streaming").to_series().sort()
    twice = hashes.filter(hashes == hashes.shift(1)).unique()
    del hashes
    if twice.is_empty():
        return None
    candidates = hashed.filter(pl.col("__hash__").is_in(twice.implode())).collect(engine="streaming").sort("__row__")
    later = candidates.filter(~pl.struct(key).is_first_distinct())["__row__"].to_numpy()
    return later if len(later) else None
