"""Items that share a category with the user's last events.

Shapes: as in `sources`; N item rows, W values of a categorical field, P pairs of item and value, V values.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.features.availability import Availability
from shortlist.ragged import gather
from shortlist.recommend.query import Rows
from shortlist.recommend.sources import Encoded, Found
from shortlist.recommend.sources.best_of import best_of
from shortlist.recommend.sources.recent_events import have_events, recent_events


class SameAttributeSource:
    """Items of the history's values, with sum over the values v of P(v | history) P(item | v).

    P(v | history) is the recency-weighted share of the events with the value; P(item | v) is proportional to the
    popularity of the item plus 1.
    """

    ranked = False
    searches = True

    def __init__(
        self, values_NW: NDArray[Any], popularity_N: NDArray[Any], available: Availability, *, name: str, ordered: bool
    ) -> None:
        self.name = name
        self._available, self._ordered, self._values_NW = available, ordered, values_NW
        item_P, column_P = np.nonzero(values_NW)
        value_P, count_P = values_NW[item_P, column_P], popularity_N[item_P].astype(np.float64) + 1
        order_P = np.lexsort((item_P, -count_P, value_P))
        item_P, value_P, count_P = item_P[order_P], value_P[order_P], count_P[order_P]
        num_values = int(values_NW.max(initial=0)) + 1
        self._starts = np.searchsorted(value_P, np.arange(num_values + 1)).astype(np.int64)
        total_V = np.bincount(value_P, count_P, num_values)
        self._item_P, self._share_P = item_P.astype(np.int32), (count_P / total_V[value_P]).astype(np.float32)

    def answers(self, encoded: Encoded) -> NDArray[np.bool_]:
        return have_events(encoded) & encoded.selects(self.name)

    def find(self, encoded: Encoded, at_A: NDArray[np.int64], depth_A: NDArray[np.int64], dropped: list[Rows]) -> Found:
        def scores(e: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
            events, weights = recent_events(encoded, e, ordered=self._ordered)
            values_LW = self._values_NW[events]
            values, place = np.unique(values_LW.ravel(), return_inverse=True)
            weight_V = np.bincount(place, np.repeat(weights, values_LW.shape[1]), len(values))
            weight_V, values = weight_V[values > 0], values[values > 0]
            return self._items_of(values, weight_V)

        return best_of(scores, self._available, encoded, at_A, depth_A, dropped)

    def _items_of(self, values: NDArray[Any], weight_V: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Unique item rows of these values and their scores."""
        items, lengths_V = gather(self._item_P, self._starts, values)
        shares, _ = gather(self._share_P, self._starts, values)
        rows, place = np.unique(items, return_inverse=True)
        return rows.astype(np.int64), np.bincount(place, np.repeat(weight_V, lengths_V) * shares, len(rows))
