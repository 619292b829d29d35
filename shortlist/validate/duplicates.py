"""Which rows repeat the key of a row before them, exactly, in memory that does not grow with the table."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

_BYTES_PER_ROW = 120
"""What a row costs at worst, when every key is a repetition; measured with three integers as the key."""


def find_duplicates(table: Path, key: list[str], rows: int, memory_bytes: float, to: Path) -> NDArray[np.bool_]:
    """A bool [rows] on disk at `to`: whether a row before has the same `key`.

    A key of which a part is null repeats nothing, and without a key no row does.

    The table is read once for each part of the space of hashes that fits into the memory. Equal hashes are only
    candidates, and few, so keys are compared for those alone.
    """
    repeated: NDArray[Any] = np.lib.format.open_memmap(to, "w+", np.bool_, (rows,))
    if not key or not rows:
        return repeated
    parts = max(1, int(np.ceil(rows * _BYTES_PER_ROW / memory_bytes)))
    whole = pl.all_horizontal(pl.col(key).is_not_null())
    hashed = (
        pl.scan_parquet(table)
        .select(key)
        .with_row_index("__row__")
        .filter(whole)
        .with_columns(pl.struct(key).hash().alias("__hash__"))
    )
    for part in range(parts):
        mine = hashed.filter(pl.col("__hash__") % parts == part)
        hashes = mine.select("__hash__").collect(engine="streaming").to_series().sort()
        twice = hashes.filter(hashes == hashes.shift(1)).unique()
        del hashes
        if twice.is_empty():
            continue
        candidates = mine.filter(pl.col("__hash__").is_in(twice.implode())).collect(engine="streaming")
        later = candidates.sort("__row__").filter(~pl.struct(key).is_first_distinct())
        repeated[later["__row__"].to_numpy()] = True
    return repeated
