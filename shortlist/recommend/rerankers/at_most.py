"""At most n items of one artist, brand or category in a list (`rules.at_most`)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shortlist.recommend.rerankers import EMPTY, Scored
from shortlist.recommend.rules import Limit, Rules

_BLOCK = 64
"""Candidates that are looked at together: most lists are full after the first."""


class AtMost:
    """Leaves out an item when the list above it already holds as many of one of its values as are allowed."""

    name = "at_most"

    def applies(self, rules: Rules) -> bool:
        return bool(rules.limits)

    def rerank(self, scored: Scored, k_E: NDArray[np.int64], rules: Sequence[Rules]) -> Scored:
        kept_EK = np.zeros(scored.rows_EK.shape, np.bool_)
        for e, one in enumerate(rules):
            enough = scored.rows_EK.shape[1] if one.diversity else int(k_E[e])
            kept_EK[e, within_limits(scored.rows_EK[e], one.limits, enough, forced=len(one.pins))] = True
        scored = scored._replace(
            rows_EK=np.where(kept_EK, scored.rows_EK, 0),
            scores_EK=np.where(kept_EK, scored.scores_EK, np.float32(-np.inf)),
            source_EK=np.where(kept_EK, scored.source_EK, np.int8(EMPTY)),
        )
        return scored.take(np.argsort(~kept_EK, axis=1, kind="stable"))


def within_limits(
    rows_K: NDArray[np.int64], limits: Sequence[Limit], enough: int, *, forced: int = 0
) -> NDArray[np.int64]:
    """Places of the first items, at most `enough`, that keep to the limits together; the first `forced` always do."""
    left: list[dict[int, int]] = [{} for _ in limits]
    """Of each limit, how many items of a value may still come."""
    kept: list[int] = []
    for first in range(0, len(rows_K), _BLOCK):
        block = rows_K[first : first + _BLOCK]
        columns = [one.values_NW[block].tolist() for one in limits]
        for at, row in enumerate(block.tolist(), first):
            if len(kept) == enough:
                return np.array(kept, np.int64)
            values = [{*column[at - first]} - {0} for column in columns]
            fits = all(
                free.get(value, one.most) > 0
                for one, free, own in zip(limits, left, values, strict=True)
                for value in own
            )
            if row and (fits or at < forced):
                kept.append(at)
                for one, free, own in zip(limits, left, values, strict=True):
                    for value in own:
                        free[value] = free.get(value, one.most) - 1
    return np.array(kept, np.int64)
