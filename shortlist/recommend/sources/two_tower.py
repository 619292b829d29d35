"""The nearest items to the query vector, by the index.

Shapes: as in `sources`.
"""

import numpy as np
from numpy.typing import NDArray

from shortlist.recommend.query import Rows
from shortlist.recommend.sources import Encoded, Found
from shortlist.retrieval.retrieve import Retriever


class TwoTowerSource:
    """Candidates of a history or a profile, with their inner products."""

    name = "two_tower"
    ranked = True

    def __init__(self, retriever: Retriever) -> None:
        self._retriever = retriever

    def answers(self, encoded: Encoded) -> NDArray[np.bool_]:
        return encoded.known_E

    def find(self, encoded: Encoded, at_A: NDArray[np.int64], depth_A: NDArray[np.int64], dropped: list[Rows]) -> Found:
        return search(self._retriever, encoded.vector_ED[at_A], encoded, at_A, depth_A, dropped)


def search(
    retriever: Retriever,
    vector_AD: NDArray[np.float32],
    encoded: Encoded,
    at_A: NDArray[np.int64],
    depth_A: NDArray[np.int64],
    dropped: list[Rows],
) -> Found:
    """The nearest items to a vector of each of the queries `at_A`, as `Source.find` has to return them."""
    time_A, masks = encoded.batch.time_E[at_A], encoded.masks(at_A)
    rows_AK, scores_AK = retriever.search(vector_AD, int(depth_A.max()), dropped, time_A, masks)
    if (depth_A < rows_AK.shape[1]).any():
        # What a query gets must not depend on the depth that another one in the batch asks for.
        beyond_AK = np.arange(rows_AK.shape[1]) >= depth_A[:, None]
        rows_AK[beyond_AK], scores_AK[beyond_AK] = 0, -np.inf
    return Found(rows_AK, scores_AK)
