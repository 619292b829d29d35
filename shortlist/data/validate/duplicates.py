"""Which rows repeat the key of a row before them, exactly, in memory that does not grow with the table."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.tables import scan_file

_BYTES_PER_ROW = 120
"""What a row costs at worst, when every key is a repetition; measured with three integers as the key."""


class Duplicates:
    """The rows of a table of which a row before has the same key, kept on disk.

    A key of which a part is null repeats nothing, and without a key no row does.
    """

    def __init__(self, table: Path, key: list[str], memory_bytes: float, scratch: Path) -> None:
        """Read the table once for each part of the space of hashes that fits into the memory.

        Equal hashes are only candidates, and few, so keys are compared for those alone.
        """
        self._rows: list[NDArray[np.int64]] = []
        """Rising row numbers, of each part that has any."""
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
                # Not through a writable map: a full disk would end the process without a word.
                file = scratch / f"{table.stem}-{part}.i64"
                file.write_bytes(later.astype(np.int64).tobytes())
                self._rows.append(np.memmap(file, np.int64, "r"))

    def among(self, start: int, count: int) -> NDArray[np.bool_]:
        """Whether each of the rows from `start` on is one: bool [count]."""
        found = np.zeros(count, np.bool_)
        for rows in self._rows:
            first, end = np.searchsorted(rows, [start, start + count])
            found[rows[first:end] - start] = True
        return found


def _later(hashed: pl.LazyFrame, key: list[str]) -> NDArray[Any] | None:
    """Rising numbers of the rows that are not the first with their key; None when there are none."""
    hashes = hashed.select("__hash__").collect(engine="streaming").to_series().sort()
    twice = hashes.filter(hashes == hashes.shift(1)).unique()
    del hashes
    if twice.is_empty():
        return None
    candidates = hashed.filter(pl.col("__hash__").is_in(twice.implode())).collect(engine="streaming").sort("__row__")
    later = candidates.filter(~pl.struct(key).is_first_distinct())["__row__"].to_numpy()
    return later if len(later) else None
