"""Candidate sources. A new kind is a file here and a line in `Recommender.over`.

Shapes: E queries, A of them sent to a source, K candidates each, D width of the query vector.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from shortlist.features.item_mask import ItemMask
from shortlist.recommend.query import QueryBatch, Rows
from shortlist.recommend.rules import Rules


class Found(NamedTuple):
    """Candidates of A queries, best first."""

    rows_AK: NDArray[np.int64]
    """Item rows; 0 is padding."""
    scores_AK: NDArray[np.float32]
    """The scores in the unit of the source; -inf where the row is 0."""

    def appended(self, a: int, rows: NDArray[np.int64], scores: NDArray[np.float32]) -> "Found":
        """A copy with more candidates appended to those of one query."""
        start = int(np.count_nonzero(self.rows_AK[a]))
        wide = max(start + len(rows) - self.rows_AK.shape[1], 0)
        rows_AK = np.pad(self.rows_AK, ((0, 0), (0, wide)))
        scores_AK = np.pad(self.scores_AK, ((0, 0), (0, wide)), constant_values=-np.inf)
        rows_AK[a, start : start + len(rows)], scores_AK[a, start : start + len(rows)] = rows, scores
        return Found(rows_AK, scores_AK)


class Encoded(NamedTuple):
    """A batch with its query vectors."""

    batch: QueryBatch
    known_E: NDArray[np.bool_]
    """Which queries the tower answers."""
    vector_ED: NDArray[np.float32]
    """Query vectors; 0 for queries that the tower does not answer."""
    rules: Sequence[Rules]
    """The rules of each query."""

    def masks(self, at_A: NDArray[np.int64]) -> list[ItemMask | None]:
        """The masks of these queries."""
        return [self.rules[e].mask for e in at_A.tolist()]


class Source(Protocol):
    """One kind of candidates. It must be safe to use from several threads."""

    name: str
    ranked: bool
    """Whether the scorer orders its candidates. If so, as many are requested as the scorer reads, otherwise k."""
    searches: bool
    """Whether it finds more when more are requested. One that does not has a given list, which leads all others."""

    def answers(self, encoded: Encoded) -> NDArray[np.bool_]:
        """Which queries the source has candidates for, [E]."""

    def find(self, encoded: Encoded, at_A: NDArray[np.int64], depth_A: NDArray[np.int64], dropped: list[Rows]) -> Found:
        """Up to `depth_A` candidates of the queries `at_A`, available at the time of the query and in the mask of its
        rules, without the `dropped` rows of each; fewer only if there are no more."""
