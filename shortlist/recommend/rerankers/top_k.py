"""The highest scores first."""

import numpy as np
from numpy.typing import NDArray

from shortlist.recommend.rerankers import Scored


class TopK:
    """Sorts by the score; of equal ones what the source had first stays first."""

    name = "top_k"

    def rerank(self, scored: Scored, k_A: NDArray[np.int64]) -> Scored:
        return scored.take(np.argsort(-scored.scores_AK, axis=1, kind="stable")[:, : int(k_A.max())])
