"""Limits the items of one artist, brand or category in a list (`rules.at_most`)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shortlist.recommend.limits import within_limits
from shortlist.recommend.rerankers import EMPTY, Scored
from shortlist.recommend.rules import Rules


class AtMost:
    """Leaves out an item when the list above it already has the maximum number of items with one of its values."""

    name = "at_most"

    def applies(self, rules: Rules) -> bool:
        return bool(rules.limits)

    def rerank(self, scored: Scored, k_E: NDArray[np.int64], rules: Sequence[Rules]) -> Scored:
        kept_EK = np.zeros(scored.rows_EK.shape, np.bool_)
        for e, one in enumerate(rules):
            kept = within_limits(scored.rows_EK[e], one.limits, int(k_E[e]), forced=len(one.pins))
            kept_EK[e, kept] = True
        scored = scored._replace(
            rows_EK=np.where(kept_EK, scored.rows_EK, 0),
            scores_EK=np.where(kept_EK, scored.scores_EK, np.float32(-np.inf)),
            tier_EK=np.where(kept_EK, scored.tier_EK, np.int8(EMPTY)),
        )
        return scored.take(np.argsort(~kept_EK, axis=1, kind="stable"))
