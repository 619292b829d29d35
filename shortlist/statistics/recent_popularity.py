"""Time-decayed popularity of every item: demand drifts, and counts over all time and the towers lag behind.

    ranking/recent_popularity.npy   float32 [N, R], the last column over all time

It is used only with a temporal split, where all queries of a window come after all counted events, as in serving. With
other splits the queries may be at any time, and recent popularity would leak their future.

Shapes: N item rows, R half-lives, P positives.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.features.recency import time_decayed_counts
from shortlist.statistics.arrays import open_arrays

FILE = "recent_popularity.npy"


def recent_popularity(
    item_P: NDArray[Any], time_P: NDArray[Any], num_rows: int, half_lives: Sequence[float]
) -> NDArray[np.float32]:
    """The positives of each item, decayed by each half-life, [N, R]: a positive at the last time counts 1, and half as
    much for each half-life before it. With an infinite half-life, all positives count 1."""
    last = int(np.max(time_P, initial=np.iinfo(np.int64).min))
    return time_decayed_counts(item_P, time_P, last, half_lives, num_rows).T.astype(np.float32)


def open_recent(folder: Path, half_lives: int) -> NDArray[np.float32]:
    """Raises ValueError when the file is missing or broken, or has another number of half-lives."""
    (recent_NR,) = open_arrays(folder, FILE.removesuffix(".npy"), what=FILE)
    if recent_NR.ndim != 2 or recent_NR.shape[1] != half_lives:
        raise ValueError(
            f"{folder}: {FILE} is {recent_NR.shape}, and the ranker reads {half_lives} half-lives; "
            "take them from the same run"
        )
    return recent_NR
