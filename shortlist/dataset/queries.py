"""Queries with the items that answer them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from shortlist.ragged import gather
from shortlist.recipe.fields import POSITIVE
from shortlist.sampling import draw_rows


@dataclass(frozen=True)
class Targets:
    """Right answers to Q queries: those of query `q` are the item rows `items[offsets[q]:offsets[q + 1]]`."""

    offsets: NDArray[np.int64]
    items: NDArray[np.integer]

    @property
    def counts(self) -> NDArray[np.int64]:
        return np.diff(self.offsets)

    def take(self, at: NDArray[np.int64]) -> "Targets":
        """Those of the queries at these positions, in this order."""
        items, count = gather(self.items, self.offsets, at)
        return Targets(np.append(0, np.cumsum(count)), items)

    @classmethod
    def join(cls, pieces: Sequence["Targets"]) -> "Targets":
        count = np.concatenate([piece.counts for piece in pieces])
        return cls(np.append(0, np.cumsum(count)), np.concatenate([piece.items for piece in pieces]))


@dataclass(frozen=True, kw_only=True)
class QueriesWithTargets:
    """Q queries in the order of the users, each with the history before it and what a right answer holds.

    Query `q` reads the events `start[q]:end[q]` of all histories; right answers to it are the item rows
    `target_items[target_offsets[q]:target_offsets[q + 1]]`.
    """

    user: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    time: NDArray[np.int64]
    target_offsets: NDArray[np.int64]
    target_items: NDArray[np.integer]
    labels: dict[str, Targets] = field(default_factory=dict)
    """Label -> the items with an event of that label, which may be none, and need not be positives."""

    def __len__(self) -> int:
        return len(self.user)

    def targets(self, objective: str) -> Targets:
        """Those of a label, or of `positive`."""
        return Targets(self.target_offsets, self.target_items) if objective == POSITIVE else self.labels[objective]

    def take(self, at: NDArray[np.int64]) -> Self:
        """The queries at these positions, in this order."""
        target_items, count = gather(self.target_items, self.target_offsets, at)
        return replace(
            self,
            user=self.user[at],
            start=self.start[at],
            end=self.end[at],
            time=self.time[at],
            target_offsets=np.append(0, np.cumsum(count)),
            target_items=target_items,
            labels={name: one.take(at) for name, one in self.labels.items()},
        )

    def draw(self, limit: int, seed: int | Sequence[int]) -> Self:
        """At most `limit` of the queries, by the seed, still in the order of the users."""
        return self if len(self) <= limit else self.take(draw_rows(len(self), limit, seed))
