"""The order of a list after scoring. A new kind is a file here and a line in `recommender.rerankers_of`.

Shapes: A queries, K candidates each.
"""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class Scored(NamedTuple):
    """Candidates of A queries."""

    rows_AK: NDArray[np.int64]
    """Item rows; 0 fills up."""
    scores_AK: NDArray[np.float32]
    """What the list is ordered by; -inf where the row is 0."""
    found_AK: NDArray[np.float32]
    """As the source gave them."""

    def take(self, order_AK: NDArray[np.int64]) -> "Scored":
        """The columns of each query in this order."""
        return Scored(
            np.take_along_axis(self.rows_AK, order_AK, axis=1),
            np.take_along_axis(self.scores_AK, order_AK, axis=1),
            np.take_along_axis(self.found_AK, order_AK, axis=1),
        )


class ReRanker(Protocol):
    """Orders or shortens scored lists."""

    name: str

    def rerank(self, scored: Scored, k_A: NDArray[np.int64]) -> Scored:
        """Lists of at most `max(k_A)` columns, best first; each query will be cut to its own `k_A`."""
