"""Raises or lowers the scores of some items (`rules.boost`)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shortlist.recommend.rerankers import EMPTY, Scored
from shortlist.recommend.rules import Rules


class BoostItems:
    """Adds multiples of the standard deviation of a query's scores, per source, so that one number suits any model."""

    name = "boost"

    def applies(self, rules: Rules) -> bool:
        return bool(rules.boosts)

    def rerank(self, scored: Scored, k_E: NDArray[np.int64], rules: Sequence[Rules]) -> Scored:  # noqa: ARG002
        scores_EK = scored.scores_EK.copy()
        for e, one in enumerate(rules):
            for tier in np.unique(scored.tier_EK[e]).tolist():
                if tier == EMPTY:
                    continue
                at = np.flatnonzero(scored.tier_EK[e] == tier)
                step, rows = float(scored.scores_EK[e, at].std()), scored.rows_EK[e, at]
                for boost in one.boosts:
                    scores_EK[e, at] += np.float32(boost.by * step) * boost.mask.rows_N[rows]
        return scored._replace(scores_EK=scores_EK)
