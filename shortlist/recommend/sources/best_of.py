"""The best of the items that a source scores itself, as `Source.find` returns them.

Shapes: A queries, K candidates each, M scored items of a query.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.features.availability import Availability
from shortlist.recommend.query import Rows
from shortlist.recommend.sources import Encoded, Found

Scores = Callable[[int], tuple[NDArray[np.int64], NDArray[Any]]]
"""From the position of a query in the batch to unique item rows [M] and their scores."""
Draw = Callable[[int, NDArray[np.int64]], NDArray[np.int64]]
"""From the position of a query and item rows [M] to the positions of those that are drawn, ascending."""


def best_of(
    scores: Scores,
    available: Availability,
    encoded: Encoded,
    at_A: NDArray[np.int64],
    depth_A: NDArray[np.int64],
    dropped: Sequence[Rows],
    draw: Draw | None = None,
) -> Found:
    """The highest scores first, of all items or of those that are drawn; equal scores in the order of `scores`."""
    width = int(depth_A.max(initial=0))
    rows_AK, scores_AK = np.zeros((len(at_A), width), np.int64), np.full((len(at_A), width), -np.inf, np.float32)
    for a, e in enumerate(at_A.tolist()):
        rows, values = scores(e)
        there = available.among(rows, int(encoded.batch.time_E[e]))
        mask = encoded.rules[e].mask
        if mask is not None:
            there &= mask.rows_N[rows]
        if len(dropped[a]):
            there &= ~np.isin(rows, dropped[a])
        rows, values = rows[there], values[there]
        if draw is not None:
            drawn = draw(e, rows)
            rows, values = rows[drawn], values[drawn]
        best = _largest(values, int(depth_A[a]))
        rows_AK[a, : len(best)], scores_AK[a, : len(best)] = rows[best], values[best]
    return Found(rows_AK, scores_AK)


def _largest(values: NDArray[Any], k: int) -> NDArray[np.int64]:
    """Positions of the k largest values, largest first; stable."""
    if len(values) > 4 * k:  # a sort of all is slower than a selection of a few
        at = np.flatnonzero(values >= np.partition(values, len(values) - k)[len(values) - k])
        return at[np.argsort(-values[at], kind="stable")[:k]]
    return np.argsort(-values, kind="stable")[:k]
