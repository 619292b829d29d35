"""Re-rankers order lists after scoring. A new kind is a file here and a line in `recommender.rerankers_of`.

Shapes: E queries, K candidates each.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from shortlist.recommend.rules import Rules

EMPTY = 127
"""The source of a column without an item; such columns come last."""


class Scored(NamedTuple):
    """Candidates of E queries."""

    rows_EK: NDArray[np.int64]
    """Item rows; 0 is padding."""
    scores_EK: NDArray[np.float32]
    """The scores that the list is ordered by; -inf where the row is 0."""
    found_EK: NDArray[np.float32]
    """The scores from the source."""
    source_EK: NDArray[np.int8]
    """Position of the source of each item; items of a later source come later, whatever their score. EMPTY where the
    row is 0."""

    def take(self, order_EK: NDArray[np.int64]) -> "Scored":
        """The columns of each query in this order."""
        return Scored(
            np.take_along_axis(self.rows_EK, order_EK, axis=1),
            np.take_along_axis(self.scores_EK, order_EK, axis=1),
            np.take_along_axis(self.found_EK, order_EK, axis=1),
            np.take_along_axis(self.source_EK, order_EK, axis=1),
        )

    def put(self, at: NDArray[np.int64], other: "Scored") -> None:
        """Replace the first columns of some of the queries; items that a re-ranker left out are EMPTY."""
        width = other.rows_EK.shape[1]
        self.rows_EK[at, :width], self.scores_EK[at, :width] = other.rows_EK, other.scores_EK
        self.found_EK[at, :width], self.source_EK[at, :width] = other.found_EK, other.source_EK

    def of(self, at: NDArray[np.int64]) -> "Scored":
        """The queries at these positions."""
        return Scored(self.rows_EK[at], self.scores_EK[at], self.found_EK[at], self.source_EK[at])


class ReRanker(Protocol):
    """Orders or shortens scored lists; items that are left out move to the end and become EMPTY."""

    name: str

    def applies(self, rules: Rules) -> bool:
        """Whether a query with these rules needs it; `rerank` gets only such queries."""

    def rerank(self, scored: Scored, k_E: NDArray[np.int64], rules: Sequence[Rules]) -> Scored:
        """The lists, best first; they are cut to `k_E` afterwards."""
