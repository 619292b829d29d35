"""What goes with what: the nearest items of every item, and how near a candidate is to the events of a history.

    ranking/neighbour_rows.npy      int32 [T, N, n], nearest first; row 0 fills up
    ranking/neighbour_weights.npy   float32 [T, N, n]

Shapes: T tables, N item rows, n neighbours of each, E questions, L events, X of them that weigh anything, K candidates,
C ways to weigh events.
Nothing here needs scipy: it is searched by `find_neighbours` and only read when an answer is ranked.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TABLES = ("together", "follows")
"""Whether two items are of the same users, and whether one comes soon after the other; in data without order, where
nothing follows, the first alone."""


@dataclass(frozen=True)
class Neighbours:
    """The neighbours of every item row in each table, nearest first."""

    rows_TNn: NDArray[np.int32]
    weights_TNn: NDArray[np.float32]

    @classmethod
    def open(cls, folder: Path, num_tables: int) -> "Neighbours":
        """Raises ValueError when the files are missing or do not fit together, or hold other than `num_tables`."""
        try:
            rows = np.asarray(np.load(folder / "neighbour_rows.npy", mmap_mode="r", allow_pickle=False))
            weights = np.asarray(np.load(folder / "neighbour_weights.npy", mmap_mode="r", allow_pickle=False))
        except (OSError, ValueError, EOFError) as error:
            raise ValueError(f"{folder}: the neighbours of the items cannot be read: {error}") from error
        if rows.shape != weights.shape or rows.ndim != 3 or len(rows) != num_tables:
            raise ValueError(
                f"{folder}: neighbour_rows.npy is {rows.shape}, neighbour_weights.npy {weights.shape}, "
                f"and the ranker reads {num_tables} tables; take them from the same run"
            )
        return cls(rows, weights)

    def save(self, folder: Path) -> None:
        np.save(folder / "neighbour_rows.npy", self.rows_TNn)
        np.save(folder / "neighbour_weights.npy", self.weights_TNn)

    def near(
        self, events_EL: NDArray[np.int64], weight_ELC: NDArray[np.float32], candidates_EK: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Sum over the events that count a candidate among their neighbours of weight times nearness: [E, K, T * C].

        An item of row 0 is nobody's neighbour.
        """
        num_questions, num_candidates = candidates_EK.shape
        num_tables, num_rows, _ = self.rows_TNn.shape
        columns = weight_ELC.shape[2]
        # One sorted list of the candidates of all questions, each question in a space of its own.
        space_E = np.arange(num_questions) * num_rows
        wanted, place_EK = np.unique(candidates_EK + space_E[:, None], return_inverse=True)
        sums = np.zeros((len(wanted), num_tables, columns))
        event_X = np.nonzero(weight_ELC.any(axis=2))
        item_X, space_X1, weight_XC = events_EL[event_X], space_E[event_X[0]][:, None], weight_ELC[event_X]
        for table in range(num_tables):
            rows_Xn = self.rows_TNn[table].take(item_X, axis=0)
            key_Xn = rows_Xn + space_X1
            at_Xn = np.minimum(np.searchsorted(wanted, key_Xn), len(wanted) - 1)
            x, n = np.nonzero((wanted[at_Xn] == key_Xn) & (rows_Xn > 0))
            at, nearness = at_Xn[x, n], self.weights_TNn[table].take(item_X, axis=0)[x, n]
            for column in range(columns):
                sums[:, table, column] = np.bincount(at, nearness * weight_XC[x, column], len(wanted))
        near = sums.reshape(len(wanted), -1).astype(np.float32)
        return near[place_EK.reshape(num_questions, num_candidates)]
