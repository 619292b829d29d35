"""Combines the candidates of several sources and cuts the lists to k items.

Shapes: E queries, R of them with candidates that are ranked, K candidates each.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shortlist.recommend.candidates import Candidates
from shortlist.recommend.rerankers import EMPTY, Scored
from shortlist.recommend.sources import Source


class Recommendations(NamedTuple):
    """Lists of E queries, best first."""

    rows_EK: NDArray[np.int64]
    """Item rows; 0 is padding."""
    scores_EK: NDArray[np.float32]
    """The scores that each list is ordered by, non-increasing; -inf where the row is 0."""
    found_EK: NDArray[np.float32]
    """The score from the source of each item: an inner product, or a share of all events."""
    source_EK: NDArray[np.int8]
    """Position of the source of each item; EMPTY where the row is 0."""


def side_by_side(candidates: Candidates, sources: Sequence[Source], scores_RK: NDArray[np.float32] | None) -> Scored:
    """The candidates of all sources, concatenated in the order of the sources, with the scorer's scores if given."""
    places = {id(source): place for place, source in enumerate(sources)}
    first = first_place(sources)
    count = len(candidates.k_E)
    width = sum(part.found.rows_AK.shape[1] for part in candidates.parts)
    scored = Scored(
        np.zeros((count, width), np.int64),
        np.full((count, width), -np.inf, np.float32),
        np.full((count, width), -np.inf, np.float32),
        np.full((count, width), EMPTY, np.int8),
    )
    start = 0
    for part in candidates.parts:
        rows_AK, found_AK = part.found
        scores_AK = found_AK
        if part.source.ranked and scores_RK is not None:
            scores_AK = np.where(rows_AK > 0, scores_RK, np.float32(-np.inf))
        at = part.at_A, slice(start, start + rows_AK.shape[1])
        start = at[1].stop
        scored.rows_EK[at], scored.scores_EK[at], scored.found_EK[at] = rows_AK, scores_AK, found_AK
        scored.source_EK[at] = np.where(rows_AK > 0, np.int8(places[id(part.source)] - first), np.int8(EMPTY))
    return scored


def first_place(sources: Sequence[Source]) -> int:
    """Index of the first source whose items are not pinned; it is position 0 in the lists, and pins come before it."""
    return next(place for place, source in enumerate(sources) if source.searches)


def cut(scored: Scored, k_E: NDArray[np.int64]) -> Recommendations:
    """The first `k_E` items of each list."""
    beyond_EK = np.arange(int(k_E.max(initial=0))) >= k_E[:, None]
    return Recommendations(
        _to_width(scored.rows_EK, beyond_EK, 0),
        _to_width(scored.scores_EK, beyond_EK, -np.inf),
        _to_width(scored.found_EK, beyond_EK, -np.inf),
        _to_width(scored.source_EK, beyond_EK, EMPTY),
    )


def _to_width(column_EK: NDArray[Any], beyond_EK: NDArray[np.bool_], fill: float) -> NDArray[Any]:
    """A column as wide as the longest list, padded after the end of each list."""
    wide = np.full(beyond_EK.shape, fill, column_EK.dtype)
    width = min(wide.shape[1], column_EK.shape[1])
    wide[:, :width] = column_EK[:, :width]
    wide[beyond_EK] = fill
    return wide
