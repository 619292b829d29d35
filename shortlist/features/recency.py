"""Time-decayed counts of items, and the last events of each user.

Shapes: P positives, H half-lives, N item rows.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def time_decayed_counts(
    item_P: NDArray[Any], time_P: NDArray[Any], end: int, half_lives: Sequence[float], num_rows: int
) -> NDArray[np.float64]:
    """The positives of each item, decayed by each half-life, [H, N]: a positive at `end` counts 1, and half as much for
    each half-life before it. With an infinite half-life, all positives count 1."""
    age_P = (end - time_P).astype(np.float64)
    return np.stack([np.bincount(item_P, np.exp2(-age_P / half_life), num_rows) for half_life in half_lives])


def time_decayed_counts_by_squaring(
    item_P: NDArray[Any], time_P: NDArray[Any], end: int, half_lives: Sequence[float], num_rows: int
) -> NDArray[np.float64]:
    """Like `time_decayed_counts`, and equal except for rounding. Where a half-life is the previous one halved k times,
    its weights are squared k times instead of computed by an exponential, which takes ten times as long. `half_lives`
    must be in descending order.
    """
    age_P = (end - time_P).astype(np.float64)
    counts_HN: list[NDArray[Any]] = []
    weight_P, before = np.empty(0), np.nan
    for half_life in half_lives:
        if half_life == np.inf:
            counts_HN.append(np.bincount(item_P, minlength=num_rows).astype(np.float64))
            continue
        halvings = np.log2(before / half_life)  # NaN for the first
        if halvings.is_integer():
            for _ in range(int(halvings)):
                np.square(weight_P, out=weight_P)
        else:
            weight_P = np.exp2(-age_P / half_life)
        counts_HN.append(np.bincount(item_P, weight_P, num_rows))
        before = half_life
    return np.stack(counts_HN)


def last_of_each_user(user_P: NDArray[Any], most: int) -> NDArray[np.int64]:
    """The positions of the last `most` positives of each user, user by user; the input is in time order per user."""
    order_P = np.argsort(user_P, kind="stable")
    end_P = np.searchsorted(user_P[order_P], user_P[order_P], side="right")
    return order_P[end_P - np.arange(len(user_P)) <= most]
