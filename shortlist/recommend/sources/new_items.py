"""The items that became available last.

Shapes: as in `sources`; N item rows.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.features.availability import Availability
from shortlist.recommend.query import Rows
from shortlist.recommend.sources import Encoded, Found
from shortlist.recommend.sources.best_of import best_of


class NewItemsSource:
    """Items that became available within a duration before the query, newest first, with 1 - age / duration."""

    ranked = False
    searches = True

    def __init__(self, from_N: NDArray[np.int64], available: Availability, within: int, *, name: str) -> None:
        """Items are new for `within` seconds after `from_N`, when the release says that they became available first;
        `available` says which of them are available now."""
        self.name = name
        self._available, self._within = available, within
        self._rows = np.argsort(from_N[1:], kind="stable") + 1
        self._from = from_N[self._rows]

    def answers(self, encoded: Encoded) -> NDArray[np.bool_]:
        return encoded.selects(self.name)

    def find(self, encoded: Encoded, at_A: NDArray[np.int64], depth_A: NDArray[np.int64], dropped: list[Rows]) -> Found:
        def scores(e: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
            now = int(encoded.batch.time_E[e])
            new = slice(*np.searchsorted(self._from, [now - self._within, now], side="right"))
            return self._rows[new], 1 - (now - self._from[new]) / self._within

        return best_of(scores, self._available, encoded, at_A, depth_A, dropped)
