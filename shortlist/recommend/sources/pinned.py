"""Items that a query pins to the top of its list (`pin`).

Shapes: as in `sources`.
"""

import numpy as np
from numpy.typing import NDArray

from shortlist.features.availability import Availability
from shortlist.recommend.query import Rows
from shortlist.recommend.sources import Encoded, Found

PINNED = "pinned"
"""Its name, also of the label of its items."""


class PinnedSource:
    """The pinned items of each query in their order, if available, even if the user has already seen them."""

    name = PINNED
    ranked = False
    searches = False

    def __init__(self, available: Availability) -> None:
        self._available = available

    def answers(self, encoded: Encoded) -> NDArray[np.bool_]:
        return np.array([len(one.pins) > 0 for one in encoded.rules], np.bool_)

    def find(self, encoded: Encoded, at_A: NDArray[np.int64], depth_A: NDArray[np.int64], dropped: list[Rows]) -> Found:  # noqa: ARG002
        rows_AK = np.zeros((len(at_A), int(depth_A.max())), np.int64)
        for a, e in enumerate(at_A.tolist()):
            pins = encoded.rules[e].pins
            pins = pins[self._available.among(pins, int(encoded.batch.time_E[e]))][: depth_A[a]]
            rows_AK[a, : len(pins)] = pins
        return Found(rows_AK, np.where(rows_AK > 0, np.float32(0), np.float32(-np.inf)))
