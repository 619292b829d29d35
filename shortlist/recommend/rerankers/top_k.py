"""Sorts by score."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shortlist.recommend.rerankers import EMPTY, Scored
from shortlist.recommend.rules import Rules


class TopK:
    """Sorts the items of each source by score, stably.

    The scores of a list are non-increasing: those of a later source, whose unit differs, are capped at the lowest score
    of the sources before it, and pinned items get the highest score of the others.
    """

    name = "top_k"

    def applies(self, rules: Rules) -> bool:  # noqa: ARG002
        return True

    def rerank(self, scored: Scored, k_E: NDArray[np.int64], rules: Sequence[Rules]) -> Scored:
        tier_EK = scored.tier_EK
        several = bool(((tier_EK < EMPTY) & (tier_EK != tier_EK[:, :1])).any() or (tier_EK < 0).any())
        if several:
            scored = scored._replace(scores_EK=_with_pins(scored))
            order_EK = np.lexsort((-scored.scores_EK, tier_EK), axis=1)
        else:
            order_EK = np.argsort(-scored.scores_EK, axis=1, kind="stable")
        if not any(one.shapes_lists for one in rules):
            order_EK = order_EK[:, : int(k_E.max(initial=0))]
        scored = scored.take(order_EK)
        return scored._replace(scores_EK=np.minimum.accumulate(scored.scores_EK, axis=1)) if several else scored


def _with_pins(scored: Scored) -> NDArray[np.float32]:
    """The scores, where pinned items have the highest score of the others, or 0 if there are no others."""
    pinned_EK = scored.tier_EK < 0
    if not pinned_EK.any():
        return scored.scores_EK
    others_EK = np.where(pinned_EK, np.float32(-np.inf), scored.scores_EK)
    highest_E = others_EK.max(axis=1, initial=-np.inf, keepdims=True)
    return np.where(pinned_EK, np.where(np.isfinite(highest_E), highest_E, np.float32(0)), others_EK)
