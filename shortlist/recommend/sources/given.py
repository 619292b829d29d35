"""A curated list of items.

Shapes: as in `sources`.
"""

import numpy as np
from numpy.typing import NDArray

from shortlist.features.availability import Availability
from shortlist.recommend.query import Rows
from shortlist.recommend.sources import Encoded, Found
from shortlist.recommend.sources.best_of import best_of


class GivenSource:
    """The items of a list in their order, with the reciprocals of their ranks."""

    ranked = False
    searches = True

    def __init__(self, rows: NDArray[np.int64], available: Availability, *, name: str) -> None:
        """`rows` are unique item rows; 0, an unknown id, is ignored."""
        self.name = name
        self._rows, self._available = rows[rows > 0], available
        self._scores = 1 / np.arange(1, len(self._rows) + 1)

    def answers(self, encoded: Encoded) -> NDArray[np.bool_]:
        return encoded.selects(self.name)

    def find(self, encoded: Encoded, at_A: NDArray[np.int64], depth_A: NDArray[np.int64], dropped: list[Rows]) -> Found:
        return best_of(lambda _: (self._rows, self._scores), self._available, encoded, at_A, depth_A, dropped)
