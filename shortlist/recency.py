"""What was taken of late, of all and of each user.

Shapes: P positives, H half-lives, N item rows.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def count_of_late(
    item_P: NDArray[Any], time_P: NDArray[Any], end: int, half_lives: Sequence[float], num_rows: int
) -> NDArray[np.float64]:
    """Positives of each item by each half-life [H, N], one at `end` counting 1, and half for each half-life before it;
    by an infinite one all count alike."""
    age_P = (end - time_P).astype(np.float64)
    return np.stack([np.bincount(item_P, np.exp2(-age_P / half_life), num_rows) for half_life in half_lives])


def last_of_each_user(user_P: NDArray[Any], most: int) -> NDArray[np.int64]:
    """Where the last `most` positives of each user stand, user after user, of positives in time order for each user."""
    order_P = np.argsort(user_P, kind="stable")
    end_P = np.searchsorted(user_P[order_P], user_P[order_P], side="right")
    return order_P[end_P - np.arange(len(user_P)) <= most]
