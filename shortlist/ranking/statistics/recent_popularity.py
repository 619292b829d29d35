"""How often every item was taken of late: what is asked for drifts, and counts over all time and towers lag behind.

    ranking/recent_popularity.npy   float32 [N, R], the last column over all time

Only of data that is cut by time, where all queries of a window come after all that was counted, as in serving.
Elsewhere the queries are of any time, and what was popular last would tell them their future.

Shapes: N item rows, R half-lives, P positives.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.features.recency import count_of_late
from shortlist.ranking.statistics.arrays import open_arrays

FILE = "recent_popularity.npy"


def recent_popularity(
    item_P: NDArray[Any], time_P: NDArray[Any], num_rows: int, half_lives: Sequence[float]
) -> NDArray[np.float32]:
    """Positives of each item [N, R], one at the last of all times counting 1, and half for each half-life before it; by
    an infinite one all alike."""
    last = int(np.max(time_P, initial=np.iinfo(np.int64).min))
    return count_of_late(item_P, time_P, last, half_lives, num_rows).T.astype(np.float32)


def open_recent(folder: Path, half_lives: int) -> NDArray[np.float32]:
    """Raises ValueError when the file is missing or broken, or holds another number of half-lives."""
    (recent_NR,) = open_arrays(folder, FILE.removesuffix(".npy"), what=FILE)
    if recent_NR.ndim != 2 or recent_NR.shape[1] != half_lives:
        raise ValueError(
            f"{folder}: {FILE} is {recent_NR.shape}, and the ranker reads {half_lives} half-lives; "
            "take them from the same run"
        )
    return recent_NR
