"""The items nearest to the query vector, from the index.

Shapes: as in `sources`.
"""

import numpy as np
from numpy.typing import NDArray

from shortlist.recommend.query import Rows
from shortlist.recommend.sources import Encoded, Found
from shortlist.retrieval.retrieve import Retriever


class TwoTowerSource:
    """Candidates for a history or a profile, with inner products."""

    ranked = True
    searches = True

    def __init__(self, retriever: Retriever, name: str = "two_tower") -> None:
        self._retriever, self.name = retriever, name

    def answers(self, encoded: Encoded) -> NDArray[np.bool_]:
        return encoded.known_E & encoded.selects(self.name)

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
    """The items nearest to the vector of each of the queries `at_A`, as `Source.find` returns them."""
    time_A, masks = encoded.batch.time_E[at_A], encoded.masks(at_A)
    return Found(*retriever.search(vector_AD, int(depth_A.max()), dropped, time_A, masks)).cut(depth_A)
