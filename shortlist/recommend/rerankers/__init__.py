"""Re-rankers order lists after scoring. A new kind is a file here and a line in `recommender.rerankers_of`.

Shapes: E queries, K candidates each.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from shortlist.recommend.rules import Rules

EMPTY = 127
"""The tier of a column without an item; such columns come last."""


class Scored(NamedTuple):
    """Candidates of E queries."""

    rows_EK: NDArray[np.int64]
    """Item rows; 0 is padding."""
    scores_EK: NDArray[np.float32]
    """The scores that the list is ordered by; -inf where the row is 0."""
    found_EK: NDArray[np.float32]
    """The scores from the source."""
    tier_EK: NDArray[np.int8]
    """Position of the stage that found each item: pinned items are below 0, those of the first source that searches are
    0. Items of a later tier come later, whatever their score. EMPTY where the row is 0."""
    column_EK: NDArray[np.int32]
    """The column that each candidate had before any re-ranker."""

    @property
    def columns(self) -> Sequence[NDArray[Any]]:
        """All fields, each [E, K]."""
        return self

    def take(self, order_EK: NDArray[np.int64]) -> "Scored":
        """The columns of each query in this order."""
        at_E1 = np.arange(len(order_EK))[:, None]
        columns: list[Any] = [column[at_E1, order_EK] for column in self.columns]
        return Scored(*columns)

    def put(self, at: NDArray[np.int64], other: "Scored") -> None:
        """Replace the first columns of some of the queries; items that a re-ranker left out are EMPTY."""
        for mine, new in zip(self.columns, other.columns, strict=True):
            mine[at, : new.shape[1]] = new

    def of(self, at: NDArray[np.int64]) -> "Scored":
        """The queries at these positions."""
        columns: list[Any] = [column[at] for column in self.columns]
        return Scored(*columns)


class ReRanker(Protocol):
    """Orders or shortens scored lists; items that are left out move to the end and become EMPTY."""

    name: str

    def applies(self, rules: Rules) -> bool:
        """Whether a query with these rules needs it; `rerank` gets only such queries."""

    def rerank(self, scored: Scored, k_E: NDArray[np.int64], rules: Sequence[Rules]) -> Scored:
        """The lists, best first; they are cut to `k_E` afterwards."""
