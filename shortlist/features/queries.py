"""Encoded queries: the user, history and context as the query tower and the ranker read them.

Shapes: B windows of a history, L history length, T events of all windows concatenated, E examples (queries), W values
of a categorical field, F numbers.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.features.vocabulary import UNKNOWN

DAY = 86_400
"""Seconds of a day, the unit of ages."""


@dataclass(frozen=True)
class Context:
    """What is known about E queries besides the user and the history."""

    categorical: dict[str, NDArray[np.int64]]
    """`context.<name>` and `clock.<unit>` -> [E, W] rows."""
    numeric_EF: NDArray[np.float32]

    def take(self, at: NDArray[np.int64]) -> "Context":
        """The queries at these positions, copied; memory-mapped int32 rows become int64."""
        return Context(
            {name: rows[at].astype(np.int64) for name, rows in self.categorical.items()}, self.numeric_EF[at]
        )


@dataclass(frozen=True)
class Queries:
    """E queries over B history windows; in serving, E is B and every query sees its whole window."""

    history_BL: NDArray[np.int64]
    """Item rows in time order, left-aligned; 0 pads on the right."""
    window_E: NDArray[np.int64]
    """The window that a query reads."""
    prefix_E: NDArray[np.int64]
    """How many events of the window come before the query, 0 to L."""
    user_E: NDArray[np.int64]
    categorical: dict[str, NDArray[np.int64]]
    """Qualified name -> [E, W] rows."""
    numeric_EF: NDArray[np.float32]
    times_BL: NDArray[np.int64] | None = None
    """Time of each event, seconds since the epoch; 0 pads on the right. None where nothing reads the times."""

    def take(self, at: NDArray[np.integer[Any]]) -> "Queries":
        """The queries at these positions, each with its own window."""
        return Queries(
            self.history_BL[self.window_E[at]],
            np.arange(len(at)),
            self.prefix_E[at],
            self.user_E[at],
            {name: rows[at] for name, rows in self.categorical.items()},
            self.numeric_EF[at],
            None if self.times_BL is None else self.times_BL[self.window_E[at]],
        )

    def ages(self, time_E: NDArray[np.int64]) -> NDArray[np.float32] | None:
        """Days from each event to its query at `time_E` (seconds since the epoch), [E, L]: 0 for an event after it and
        where a query has no event. None without times."""
        if self.times_BL is None:
            return None
        days_EL = np.maximum(time_E[:, None] - self.times_BL[self.window_E], 0) / DAY
        before_EL = np.arange(days_EL.shape[1]) < self.prefix_E[:, None]
        return np.where(before_EL, days_EL, 0).astype(np.float32)


@dataclass(frozen=True)
class PackedQueries:
    """E queries over B concatenated windows: training makes queries at many positions of one history."""

    history_T: NDArray[np.int64]
    """Item rows, in time order within each window."""
    length_B: NDArray[np.int64]
    """Number of events of each window."""
    last_E: NDArray[np.int64]
    """The last event of its window that a query sees; for a basket without order, the one event that it does not see.
    -1 where the query sees none."""
    user_E: NDArray[np.int64]
    categorical: dict[str, NDArray[np.int64]]
    """Qualified name -> [E, W] rows."""
    numeric_EF: NDArray[np.float32]


def gather_windows(
    items: NDArray[Any], start_B: NDArray[np.int64], end_B: NDArray[np.int64], width: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The last `width` of `items[start:end]`, left-aligned and padded with zeros: int64 [B, width]; and lengths [B]."""
    first = np.maximum(start_B, end_B - width)
    length = end_B - first
    at = first[:, None] + np.arange(width)
    inside = at < end_B[:, None]
    if len(items) == 0:
        return np.zeros(at.shape, np.int64), length
    return np.where(inside, items[np.minimum(at, len(items) - 1)], UNKNOWN).astype(np.int64), length
