"""When each item can be recommended: an item that does not exist yet, or no longer exists, is not a candidate.

An item is available at `t` when `from <= t < until`, in seconds since the epoch. `dataset/availability.py` determines
both bounds. Row 0, the unknown item, is never available.

Shapes: N item rows, E queries.
"""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ALWAYS, FOREVER = int(np.iinfo(np.int64).min), int(np.iinfo(np.int64).max)
"""The `from` of an item without a start, and the `until` of an item without an end."""
_FROM, _UNTIL = "items/available_from.npy", "items/available_until.npy"


class Availability:
    """The half-open interval of each item row."""

    def __init__(self, from_N: NDArray[np.int64], until_N: NDArray[np.int64]) -> None:
        assert from_N.shape == until_N.shape
        self.from_N, self.until_N = from_N, until_N

    @classmethod
    def always(cls, num_rows: int) -> "Availability":
        """For data without times: every item is available at any time. Uses no memory for the rows."""
        return cls(np.broadcast_to(np.int64(ALWAYS), num_rows), np.broadcast_to(np.int64(FOREVER), num_rows))

    @classmethod
    def open(cls, features: Path) -> "Availability":
        """Open the availability of a feature store's folder. Raises ValueError when a file is not an array."""
        try:
            return cls(*(np.load(features / name, mmap_mode="r").view(np.ndarray) for name in (_FROM, _UNTIL)))
        except (EOFError, ValueError) as error:
            raise ValueError(f"{features / _FROM}: the file is not an array ({error}); run the recipe again") from None

    def save(self, features: Path) -> None:
        (features / "items").mkdir(parents=True, exist_ok=True)
        np.save(features / _FROM, self.from_N)
        np.save(features / _UNTIL, self.until_N)

    def among(self, rows: NDArray[Any], time: NDArray[np.int64] | int) -> NDArray[np.bool_]:
        """Which of these item rows are available at their time; `rows` and `time` are broadcast."""
        there: NDArray[np.bool_] = (rows > 0) & (self.from_N[rows] <= time) & (time < self.until_N[rows])
        return there

    def at(self, time: int) -> NDArray[np.bool_]:
        """Which item rows are available at a given time, [N]."""
        there = (self.from_N <= time) & (time < self.until_N)
        there[0] = False
        return there

    def within(self, first: int, last: int) -> NDArray[np.bool_]:
        """Which item rows are available at some time from `first` to `last`, both inclusive, [N]."""
        there = (self.from_N <= last) & (first < self.until_N) & (self.from_N < self.until_N)
        there[0] = False
        return there

    def stretch(self, time_E: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number of the period that each time is in, [E]: the set of available items is constant within a period."""
        return np.searchsorted(self._boundaries, time_E, side="right")

    def during(self, stretch: int) -> NDArray[np.bool_]:
        """Which item rows are available throughout a period, [N]."""
        return self.at(int(self._boundaries[stretch - 1]) if stretch else ALWAYS)

    @cached_property
    def _boundaries(self) -> NDArray[np.int64]:
        """Sorted times at which an item becomes available or unavailable."""
        if self.from_N.strides == (0,) and self.until_N.strides == (0,):  # `always`
            return np.zeros(0, np.int64)
        moments = np.unique(np.concatenate([self.from_N[1:], self.until_N[1:]]))
        return moments[(moments > ALWAYS) & (moments < FOREVER)]
