"""Time-decayed popularity, for queries of which nothing is known and to fill lists that are too short.

Shapes: as in `sources`; N item rows.
"""

from collections.abc import Sequence
from copy import copy
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.features.availability import Availability
from shortlist.features.item_mask import ItemMask
from shortlist.recipe.candidates import FALLBACK
from shortlist.recommend.query import Rows
from shortlist.recommend.sources import Encoded, Found

_AT_ONCE = 512
_KEPT = 8
"""Masks whose item order is cached."""


class Popularity:
    """The available items with the highest counts (ties: the lower row first)."""

    def __init__(self, counts_N: NDArray[Any], available: Availability | None = None) -> None:
        """Without `available`, all items are always available."""
        self.available = available or Availability.always(len(counts_N))
        self._best = np.argsort(-counts_N[1:], kind="stable") + 1
        self._place_N = np.full(len(counts_N), len(counts_N))
        self._place_N[self._best] = np.arange(len(self._best))

    def within(self, mask: ItemMask) -> "Popularity":
        """The same order, restricted to the items of a mask."""
        found = copy(self)
        found._best = self._best[mask.rows_N[self._best]]
        found._place_N = np.full(len(self._place_N), len(self._place_N))
        found._place_N[found._best] = np.arange(len(found._best))
        return found

    def rank(self, k: int, exclude: Sequence[Rows], time_E: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """The k most popular item rows of each query, at its time if given, without its excluded items, [E, k]; 0 is
        padding."""
        rows_EK = np.zeros((len(exclude), k), np.int64)
        for start in range(0, len(exclude), _AT_ONCE):
            at, width = np.arange(start, min(start + _AT_ONCE, len(exclude))), 2 * k
            while len(at):
                times = None if time_E is None else time_E[at]
                rows_EK[at] = self._first(k, min(width, len(self._best)), [exclude[e] for e in at.tolist()], times)
                # Queries that exclude nearly all of the most popular items are repeated, further down the list.
                at = at[rows_EK[at, -1] == 0] if width < len(self._best) else at[:0]
                width *= 4
        return rows_EK

    def _first(
        self, k: int, width: int, exclude: Sequence[Rows], time_E: NDArray[np.int64] | None
    ) -> NDArray[np.int64]:
        """Like `rank`, among the `width` most popular items."""
        place = self._place_N[np.concatenate(exclude)]
        query = np.repeat(np.arange(len(exclude)), [len(rows) for rows in exclude])
        free_EW = np.ones((len(exclude), width), bool)
        if time_E is not None:
            free_EW &= self.available.among(self._best[:width], time_E[:, None])
        free_EW[query[place < width], place[place < width]] = False
        order_EW = np.cumsum(free_EW, axis=1, dtype=np.int32)
        at, column = np.nonzero(free_EW & (order_EW <= k))
        rows_EK = np.zeros((len(exclude), k), np.int64)
        rows_EK[at, order_EW[at, column] - 1] = self._best[column]
        return rows_EK


class PopularitySource:
    """Candidates for any query, with their shares of all counts: `popularity`, and `trending` of decayed counts."""

    ranked = False
    searches = True

    def __init__(self, counts_N: NDArray[Any], available: Availability, name: str = FALLBACK) -> None:
        self.name = name
        counts_N = np.append(0, np.asarray(counts_N, np.float64)[1:])
        self._popularity = Popularity(counts_N, available)
        self._share_N = (counts_N / (counts_N.sum() or 1)).astype(np.float32)
        self._within = lru_cache(_KEPT)(self._popularity.within)

    def named(self, name: str) -> "PopularitySource":
        """The same source under another name."""
        found = copy(self)
        found.name = name
        return found

    def answers(self, encoded: Encoded) -> NDArray[np.bool_]:
        return encoded.selects(self.name)

    def find(self, encoded: Encoded, at_A: NDArray[np.int64], depth_A: NDArray[np.int64], dropped: list[Rows]) -> Found:
        masks, k, time_A = encoded.masks(at_A), int(depth_A.max()), encoded.batch.time_E[at_A]
        rows_AK = np.zeros((len(at_A), k), np.int64)
        for mask in dict.fromkeys(masks):
            of = np.array([a for a, one in enumerate(masks) if one is mask])
            popularity = self._popularity if mask is None else self._within(mask)
            rows_AK[of] = popularity.rank(k, [dropped[a] for a in of.tolist()], time_A[of])
        scores_AK = np.where(rows_AK > 0, self._share_N[rows_AK], np.float32(-np.inf))
        return Found(rows_AK, scores_AK).cut(depth_A)
