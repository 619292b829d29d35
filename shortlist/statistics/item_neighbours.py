"""The nearest items of every item, and the nearness of a candidate to the events of a history.

    ranking/neighbour_rows.npy      int32 [T, N, n], nearest first, padded with row 0
    ranking/neighbour_weights.npy   float32 [T, N, n]

Shapes: T tables, N item rows, n neighbours of each, E queries, L events, X events with a non-zero weight, M neighbours
of these, K candidates, P = K + 1 places, C event weightings.
This module does not need scipy: `find_neighbours` computes the tables, and serving only reads them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.statistics.arrays import open_arrays

TABLES = ("co_occurrence", "transitions")
"""Items of the same users, and items that follow soon after each other; data without order has only the first."""


@dataclass(frozen=True)
class ItemNeighbours:
    """The neighbours of every item row in each table, nearest first."""

    rows_TNn: NDArray[np.int32]
    weights_TNn: NDArray[np.float32]

    @classmethod
    def open(cls, folder: Path, num_tables: int) -> "ItemNeighbours":
        """Raises ValueError when the files are missing or do not match, or do not have `num_tables` tables."""
        rows, weights = open_arrays(folder, "neighbour_rows", "neighbour_weights", what="the neighbours of the items")
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
        self,
        events_EL: NDArray[np.int64],
        weight_ELC: NDArray[np.float32],
        candidates_EK: NDArray[np.int64],
        powers: Sequence[int] | None = None,
    ) -> NDArray[np.float32]:
        """The sum of weight times nearness over the events that have a candidate as neighbour, [E, K, T * C].

        With `powers`, each of the C weightings raises the nearness to its own power. Row 0 is padding and never a
        neighbour.
        """
        power_C1 = None if powers is None else np.array(powers)[:, None]
        num_tables, num_rows, _ = self.rows_TNn.shape
        near = np.empty((*candidates_EK.shape, num_tables, weight_ELC.shape[2]), np.float32)
        # A lookup table over the catalogue, cleared after each query: one array access instead of a search.
        place_N = np.zeros(num_rows, np.int32)
        for events_L, weight_LC, rows_K, near_KTC in zip(events_EL, weight_ELC, candidates_EK, near, strict=True):
            place_N[rows_K], place_N[0] = np.arange(1, len(rows_K) + 1), 0
            place_K, weighs = place_N.take(rows_K), weight_LC.any(axis=1)
            for table in range(num_tables):
                sums_PC = self._sums(table, events_L[weighs], weight_LC[weighs], power_C1, place_N, len(rows_K) + 1)
                near_KTC[:, table] = sums_PC[place_K]
            place_N[rows_K] = 0
        return near.reshape(*candidates_EK.shape, -1)

    def nearest(
        self, table: int, events_L: NDArray[np.int64], weight_L: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """All neighbours of the events of one history, in the order of their rows, and the sum of weight times
        nearness over the events that each is a neighbour of."""
        neighbour_M = self.rows_TNn[table].take(events_L, axis=0).ravel()
        sum_M = (self.weights_TNn[table].take(events_L, axis=0) * weight_L[:, None]).ravel()
        rows, place_M = np.unique(neighbour_M, return_inverse=True)
        sums = np.bincount(place_M, sum_M, len(rows))
        kept = (rows > 0) & (sums > 0)
        return rows[kept].astype(np.int64), sums[kept]

    def _sums(
        self,
        table: int,
        item_X: NDArray[np.int64],
        weight_XC: NDArray[np.float32],
        power_C1: NDArray[np.int64] | None,
        place_N: NDArray[np.int32],
        num_places: int,
    ) -> NDArray[np.float64]:
        """The sum of weight times nearness of all neighbours of the events by place, [P, C]; place 0 is not used."""
        place_M = place_N.take(self.rows_TNn[table].take(item_X, axis=0)).ravel()
        found = np.flatnonzero(place_M)
        nearness = self.weights_TNn[table].take(item_X, axis=0).ravel()[found]
        near_CM = nearness if power_C1 is None else nearness**power_C1
        weight_CM = weight_XC.T[:, found // self.rows_TNn.shape[2]] * near_CM
        return np.stack([np.bincount(place_M[found], weight_M, num_places) for weight_M in weight_CM], axis=1)
