"""Makes the items of a list more diverse (`rules.diversity`).

Shapes: K candidates of one query, D width of vectors.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shortlist.recommend.limits import Fitting
from shortlist.recommend.rerankers import EMPTY, Scored
from shortlist.recommend.rules import Rules
from shortlist.retrieval.retrieve import Retriever


class Diversity:
    """Maximal marginal relevance (Carbonell and Goldstein 1998) over the items of the leading source.

        next = argmax_i (1 - d) score_i - d max_{j listed} cos(v_i, v_j)

    with scores scaled to [0, 1] over the candidates, i those that the limits of `at_most` leave, and v the item vectors
    of the candidate tower. Pinned items count as listed from the start; the items of later sources stay behind in their
    order.
    """

    name = "diversity"

    def __init__(self, retriever: Retriever) -> None:
        self._retriever = retriever

    def applies(self, rules: Rules) -> bool:
        return rules.diversity > 0

    def rerank(self, scored: Scored, k_E: NDArray[np.int64], rules: Sequence[Rules]) -> Scored:
        order_EK = np.tile(np.arange(scored.rows_EK.shape[1]), (len(rules), 1))
        for e, one in enumerate(rules):
            tier_K = scored.tier_EK[e]
            pinned = int(np.count_nonzero(tier_K < 0))
            leading = tier_K[pinned] if pinned < len(tier_K) else EMPTY
            if leading == EMPTY:
                continue
            at = np.flatnonzero(tier_K == leading)
            chosen = self._chosen(
                scored.rows_EK[e, at], scored.scores_EK[e, at], scored.rows_EK[e, :pinned], int(k_E[e]), one
            )
            order_EK[e, at] = np.concatenate([at[chosen], np.delete(at, chosen)])
        return scored.take(order_EK)

    def _chosen(
        self,
        rows_K: NDArray[np.int64],
        scores_K: NDArray[np.float32],
        listed: NDArray[np.int64],
        k: int,
        rules: Rules,
    ) -> NDArray[np.int64]:
        """The positions of the first `k` items in their new order."""
        vector_KD, low = self._retriever.unit_vectors(rows_K), float(scores_K.min())
        relevance_K = (scores_K - low) / (float(scores_K.max()) - low or 1.0)
        nearest_K = np.full(len(rows_K), -1.0, np.float32)
        if len(listed):
            nearest_K = (vector_KD @ self._retriever.unit_vectors(listed).T).max(axis=1)
        chosen: list[int] = []
        fitting, gain_K = Fitting(rows_K, rules.limits, listed), (1 - rules.diversity) * relevance_K
        while len(chosen) < k and fitting.fits_K.any():
            best = int(np.argmax(np.where(fitting.fits_K, gain_K - rules.diversity * nearest_K, -np.inf)))
            chosen.append(best)
            fitting.add(best)
            np.maximum(nearest_K, vector_KD @ vector_KD[best], out=nearest_K)
        return np.array(chosen, np.int64)
