"""Combines the candidates of several sources and cuts the lists to k items.

Shapes: E queries, R of them with candidates that are ranked, K candidates each.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shortlist.recommend.candidates import Candidates
from shortlist.recommend.rerankers import EMPTY, Scored
from shortlist.recommend.sources import Found, Source
from shortlist.recommend.sources.blended import labels_of


class Recommendations(NamedTuple):
    """Lists of E queries, best first."""

    rows_EK: NDArray[np.int64]
    """Item rows; 0 is padding."""
    scores_EK: NDArray[np.float32]
    """The scores that each list is ordered by, non-increasing; -inf where the row is 0."""
    found_EK: NDArray[np.float32]
    """The retrieval score of each item: an inner product, or a share of all events."""
    source_EK: NDArray[np.int8]
    """The source that gave each item its place, a position in `Recommender.source_names`; EMPTY where the row is 0."""
    found_by_EK: NDArray[np.int64]
    """All sources that found each item: bit i is the source i."""
    propensity_EK: NDArray[np.float32]
    """The probability with which each item is at its place, given the candidates: 1 without exploration."""


class SideBySide(NamedTuple):
    """The candidates of all sources, concatenated in the order of the sources."""

    scored: Scored
    source_EK: NDArray[np.int8]
    found_by_EK: NDArray[np.int64]
    """Both as in `Recommendations`."""


def side_by_side(
    candidates: Candidates, sources: Sequence[Source], scores_RK: NDArray[np.float32] | None
) -> SideBySide:
    """The candidates with the scorer's scores if given, otherwise with those of the sources."""
    first, number, numbers = first_place(sources), 0, []
    for source in sources:
        numbers.append(number)
        number += len(labels_of(source))
    places = {id(source): place for place, source in enumerate(sources)}
    count = len(candidates.k_E)
    width = sum(part.found.rows_AK.shape[1] for part in candidates.parts)
    scored = Scored(
        np.zeros((count, width), np.int64),
        np.full((count, width), -np.inf, np.float32),
        np.full((count, width), -np.inf, np.float32),
        np.full((count, width), EMPTY, np.int8),
        np.tile(np.arange(width, dtype=np.int32), (count, 1)),
    )
    source_EK, found_by_EK = np.full((count, width), EMPTY, np.int8), np.zeros((count, width), np.int64)
    start = 0
    for part in candidates.parts:
        found, rows_AK = part.found, part.found.rows_AK
        scores_AK = found.scores_AK
        if part.source.ranked and scores_RK is not None:
            scores_AK = np.where(rows_AK > 0, scores_RK, np.float32(-np.inf))
        at = part.at_A, slice(start, start + rows_AK.shape[1])
        start = at[1].stop
        place = places[id(part.source)]
        scored.rows_EK[at], scored.scores_EK[at], scored.found_EK[at] = rows_AK, scores_AK, found.retrieval_scores
        scored.tier_EK[at] = np.where(rows_AK > 0, np.int8(place - first), np.int8(EMPTY))
        lead_AK = np.int8(0) if found.lead_AK is None else found.lead_AK
        source_EK[at] = np.where(rows_AK > 0, lead_AK + np.int8(numbers[place]), np.int8(EMPTY))
        found_by_EK[at] = _found_by(found) << numbers[place]
    return SideBySide(scored, source_EK, found_by_EK)


def _found_by(found: Found) -> NDArray[np.int64]:
    """The members that found each candidate, bit i for member i, [A, K]; a single source has bit 0."""
    if found.members_AKS is None:
        return (found.rows_AK > 0).astype(np.int64)
    bit_S = 1 << np.arange(found.members_AKS.shape[2])
    return np.asarray((found.members_AKS > -np.inf) @ bit_S, np.int64)


def first_place(sources: Sequence[Source]) -> int:
    """Index of the first source whose items are not pinned; it is tier 0, and pins come before it."""
    return next(place for place, source in enumerate(sources) if source.searches)


def cut(scored: Scored, k_E: NDArray[np.int64], before: SideBySide) -> Recommendations:
    """The first `k_E` items of each list."""
    beyond_EK = np.arange(int(k_E.max(initial=0))) >= k_E[:, None]
    rows_EK = _to_width(scored.rows_EK, beyond_EK, 0)
    column_EK = _to_width(scored.column_EK, beyond_EK, 0)
    source_EK, found_by_EK = (
        np.where(rows_EK > 0, np.take_along_axis(one, column_EK, axis=1), np.array(fill, one.dtype))
        if one.shape[1]
        else np.full(rows_EK.shape, fill, one.dtype)
        for one, fill in ((before.source_EK, EMPTY), (before.found_by_EK, 0))
    )
    return Recommendations(
        rows_EK,
        _to_width(scored.scores_EK, beyond_EK, -np.inf),
        _to_width(scored.found_EK, beyond_EK, -np.inf),
        source_EK,
        found_by_EK,
        (rows_EK > 0).astype(np.float32),
    )


def _to_width(column_EK: NDArray[Any], beyond_EK: NDArray[np.bool_], fill: float) -> NDArray[Any]:
    """A column as wide as the longest list, padded after the end of each list."""
    wide = np.full(beyond_EK.shape, fill, column_EK.dtype)
    width = min(wide.shape[1], column_EK.shape[1])
    wide[:, :width] = column_EK[:, :width]
    wide[beyond_EK] = fill
    return wide
