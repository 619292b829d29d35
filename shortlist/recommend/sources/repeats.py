"""Items of the user's own history: "buy again", "play again".

Shapes: as in `sources`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.features.availability import Availability
from shortlist.recommend.query import Rows
from shortlist.recommend.sources import Encoded, Found
from shortlist.recommend.sources.best_of import best_of
from shortlist.recommend.sources.recent_events import have_events

Weigh = Callable[[Encoded, int], tuple[NDArray[np.int64], NDArray[np.float64]]]
"""From the position of a query in the batch to the item rows [L] of its events and their weights."""


class RepeatsSource:
    """Items of the history, with the sum of the recency weights of their events: often and lately first."""

    ranked = False
    searches = True

    def __init__(self, available: Availability, weigh: Weigh, *, name: str) -> None:
        self.name = name
        self._available, self._weigh = available, weigh

    def answers(self, encoded: Encoded) -> NDArray[np.bool_]:
        return have_events(encoded) & encoded.selects(self.name)

    def find(self, encoded: Encoded, at_A: NDArray[np.int64], depth_A: NDArray[np.int64], dropped: list[Rows]) -> Found:
        def scores(e: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
            events, weights = self._weigh(encoded, e)
            rows, place = np.unique(events, return_inverse=True)
            return rows, np.bincount(place, weights, len(rows))

        return best_of(scores, self._available, encoded, at_A, depth_A, dropped)
