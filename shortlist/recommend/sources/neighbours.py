"""Items near to the events of a history: item k-NN.

Shapes: as in `sources`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.features.availability import Availability
from shortlist.recommend.query import Rows
from shortlist.recommend.sources import Encoded, Found
from shortlist.recommend.sources.best_of import best_of
from shortlist.recommend.sources.recent_events import have_events, recent_events
from shortlist.statistics.item_neighbours import ItemNeighbours


class ItemNeighboursSource:
    """Neighbours of the last events, with the weighted sum of their nearness (Sarwar et al. 2001)."""

    ranked = False
    searches = True

    def __init__(
        self, neighbours: ItemNeighbours, table: int, available: Availability, *, name: str, ordered: bool
    ) -> None:
        """`table` is a position in `item_neighbours.TABLES`."""
        self.name = name
        self._neighbours, self._table, self._available, self._ordered = neighbours, table, available, ordered

    def answers(self, encoded: Encoded) -> NDArray[np.bool_]:
        return have_events(encoded) & encoded.selects(self.name)

    def find(self, encoded: Encoded, at_A: NDArray[np.int64], depth_A: NDArray[np.int64], dropped: list[Rows]) -> Found:
        def scores(e: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
            return self._neighbours.nearest(self._table, *recent_events(encoded, e, ordered=self._ordered))

        return best_of(scores, self._available, encoded, at_A, depth_A, dropped)
