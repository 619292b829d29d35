"""Candidate sources. A new kind is a file here, its settings in `shortlist/recipe/candidates.py`, and a line in
`open_sources.py`.

Shapes: E queries, A of them sent to a source, K candidates each, D width of the query vector, S blended sources.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

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
    inner_AK: NDArray[np.float32] | None = None
    """Inner products of query and item, where they are not the scores; -inf where the row is 0."""
    lead_AK: NDArray[np.int8] | None = None
    """The member of a blend that gave the candidate its place; None for a single source."""
    members_AKS: NDArray[np.float32] | None = None
    """The score of each member of a blend; -inf where it did not find the candidate."""

    @property
    def retrieval_scores(self) -> NDArray[np.float32]:
        """The inner products if there is a query vector, otherwise the scores of the source; -inf where the row is
        0."""
        return self.scores_AK if self.inner_AK is None else self.inner_AK

    def appended(self, a: int, more: "Found") -> "Found":
        """A copy with the candidates of one other query appended to those of query `a`."""
        start, count = int(np.count_nonzero(self.rows_AK[a])), int(np.count_nonzero(more.rows_AK))
        wide = max(start + count - self.rows_AK.shape[1], 0)
        columns: list[Any] = []
        for name, mine, new in zip(self._fields, self, more, strict=True):
            if mine is None or new is None:
                columns.append(None)
                continue
            width = ((0, 0), (0, wide), (0, 0))[: mine.ndim]
            column = np.pad(mine, width, constant_values=0 if name in ("rows_AK", "lead_AK") else -np.inf)
            column[a, start : start + count] = new[0, :count]
            columns.append(column)
        return Found(*columns)

    def cut(self, depth_A: NDArray[np.int64]) -> "Found":
        """The first candidates of each query: its result must not depend on what other queries of the batch request."""
        if (depth_A >= self.rows_AK.shape[1]).all():
            return self
        beyond_AK = np.arange(self.rows_AK.shape[1]) >= depth_A[:, None]
        rows_AK = np.where(beyond_AK, 0, self.rows_AK)
        return self._replace(rows_AK=rows_AK, scores_AK=np.where(beyond_AK, np.float32(-np.inf), self.scores_AK))


class Encoded(NamedTuple):
    """A batch with its query vectors."""

    batch: QueryBatch
    known_E: NDArray[np.bool_]
    """Which queries the tower answers."""
    vector_ED: NDArray[np.float32]
    """Query vectors; 0 for queries that the tower does not answer."""
    rules: Sequence[Rules]
    """The rules of each query."""

    def selects(self, name: str) -> NDArray[np.bool_]:
        """Which queries use the source of this name, [E]: all but those that select other sources."""
        selected = self.batch.sources
        if not len(selected):
            return np.ones(len(self.batch), np.bool_)
        return np.array([one is None or name in one for one in selected], np.bool_)

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
