"""Queries with the items that answer them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from shortlist.ragged import gather
from shortlist.sampling import draw_rows


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

    def __len__(self) -> int:
        return len(self.user)

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
        )

    def draw(self, limit: int, seed: int | Sequence[int]) -> Self:
        """At most `limit` of the queries, by the seed, still in the order of the users."""
        return self if len(self) <= limit else self.take(draw_rows(len(self), limit, seed))
