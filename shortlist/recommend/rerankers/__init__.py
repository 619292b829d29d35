"""The order of lists after scoring. A new kind is a file here and a line in `recommender.rerankers_of`.

Shapes: E queries, K candidates each.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from shortlist.recommend.rules import Rules

EMPTY = 127
"""The source of a column that holds no item: it comes last."""


class Scored(NamedTuple):
    """Candidates of E queries."""

    rows_EK: NDArray[np.int64]
    """Item rows; 0 fills up."""
    scores_EK: NDArray[np.float32]
    """What the list is ordered by; -inf where the row is 0."""
    found_EK: NDArray[np.float32]
    """As the source gave them."""
    source_EK: NDArray[np.int8]
    """Place of the source of each item; what a later source found comes later, whatever its score. EMPTY where the row
    is 0."""

    def take(self, order_EK: NDArray[np.int64]) -> "Scored":
        """The columns of each query in this order."""
        return Scored(
            np.take_along_axis(self.rows_EK, order_EK, axis=1),
            np.take_along_axis(self.scores_EK, order_EK, axis=1),
            np.take_along_axis(self.found_EK, order_EK, axis=1),
            np.take_along_axis(self.source_EK, order_EK, axis=1),
        )

    def put(self, at: NDArray[np.int64], other: "Scored") -> None:
        """Exchange the first columns of some of the queries; what an order left out of them is EMPTY."""
        width = other.rows_EK.shape[1]
        self.rows_EK[at, :width], self.scores_EK[at, :width] = other.rows_EK, other.scores_EK
        self.found_EK[at, :width], self.source_EK[at, :width] = other.found_EK, other.source_EK

    def of(self, at: NDArray[np.int64]) -> "Scored":
        """Some of the queries."""
        return Scored(self.rows_EK[at], self.scores_EK[at], self.found_EK[at], self.source_EK[at])


class ReRanker(Protocol):
    """Orders or shortens scored lists; items that are left out move behind the others and become EMPTY."""

    name: str

    def applies(self, rules: Rules) -> bool:
        """Whether a query of these rules needs it; it is given no others."""

    def rerank(self, scored: Scored, k_E: NDArray[np.int64], rules: Sequence[Rules]) -> Scored:
        """The lists, best first; each will be cut to its `k_E`."""
