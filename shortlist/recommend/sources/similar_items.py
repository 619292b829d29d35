"""The items nearest to an item: "others also took" (`item_id`).

Shapes: as in `sources`.
"""

import numpy as np
from numpy.typing import NDArray

from shortlist.recommend.query import Rows
from shortlist.recommend.sources import Encoded, Found
from shortlist.recommend.sources.two_tower import search
from shortlist.retrieval.retrieve import Retriever


class SimilarItemsSource:
    """Nearest neighbours of a query's item by the candidate tower, with inner products."""

    name = "similar_items"
    ranked = False
    searches = True

    def __init__(self, retriever: Retriever) -> None:
        self._retriever = retriever

    def answers(self, encoded: Encoded) -> NDArray[np.bool_]:
        item_E = encoded.batch.item_E
        return self._retriever.candidates.known(item_E) if len(item_E) else np.zeros(len(encoded.batch), np.bool_)

    def find(self, encoded: Encoded, at_A: NDArray[np.int64], depth_A: NDArray[np.int64], dropped: list[Rows]) -> Found:
        vectors = self._retriever.item_vectors(encoded.batch.item_E[at_A])
        return search(self._retriever, vectors, encoded, at_A, depth_A, dropped)
