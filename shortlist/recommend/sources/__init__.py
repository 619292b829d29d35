"""Where candidates come from. A new kind is a file here and a line in `SOURCES`.

Shapes: E queries, A of them that a source is asked, K candidates each, D width of the query vector.
"""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from shortlist.recommend.query import QueryBatch, Rows


class Found(NamedTuple):
    """Candidates of A queries, best first."""

    rows_AK: NDArray[np.int64]
    """Item rows; 0 fills up."""
    scores_AK: NDArray[np.float32]
    """In the unit of the source; -inf where the row is 0."""


class Encoded(NamedTuple):
    """A batch, and what the query tower made of it."""

    batch: QueryBatch
    known_E: NDArray[np.bool_]
    """Which queries the tower answers."""
    vector_ED: NDArray[np.float32]
    """0 for those that it does not."""


class Source(Protocol):
    """One kind of candidates. It is asked by several threads at once."""

    name: str
    ranked: bool
    """Whether the scorer orders what it finds. It is then asked for as many as the scorer reads, otherwise for k."""

    def answers(self, encoded: Encoded) -> NDArray[np.bool_]:
        """Which queries it has candidates for, [E]."""

    def find(self, encoded: Encoded, at_A: NDArray[np.int64], depth_A: NDArray[np.int64], dropped: list[Rows]) -> Found:
        """Up to `depth_A` candidates of the queries `at_A`, available when they are asked, without the `dropped` rows
        of each; fewer only where there are no more."""
