"""At most n items of one value of an attribute: which items fit beside one another.

Shapes: N item rows, W values of a categorical field, K items of a list.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BLOCK = 64
"""Candidates that are looked at together: most lists are full after the first."""


@dataclass(frozen=True)
class Limit:
    """At most so many items of one value of an attribute."""

    name: str
    most: int
    values_NW: NDArray[np.int32]
    """Rows of the values of each item; 0 is no value, of which there may be any number."""

    def full(self, listed: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which items do not fit any more beside a list, [N]."""
        counts = Counter(value for values in self.values_NW[listed].tolist() for value in {*values} - {0})
        full = [value for value, count in counts.items() if count >= self.most]
        return np.asarray(np.isin(self.values_NW, full).any(axis=1))


class Fitting:
    """Which of K candidates still fit into a list, updated as it grows."""

    def __init__(self, rows_K: NDArray[np.int64], limits: Sequence[Limit], listed: NDArray[np.int64]) -> None:
        """`listed` are the items that the list already has."""
        self.fits_K = rows_K > 0
        self._rows_K, self._limits = rows_K, limits
        self._values_KW = [limit.values_NW[rows_K] for limit in limits]
        self._counts: list[Counter[int]] = [Counter() for _ in limits]
        for row in listed.tolist():
            self._count(row)

    def add(self, k: int) -> None:
        """The list grows by the candidate at this position."""
        self.fits_K[k] = False
        self._count(int(self._rows_K[k]))

    def _count(self, row: int) -> None:
        for limit, values_KW, counts in zip(self._limits, self._values_KW, self._counts, strict=True):
            for value in {*limit.values_NW[row].tolist()} - {0}:
                counts[value] += 1
                if counts[value] >= limit.most:
                    self.fits_K &= (values_KW != value).all(axis=1)


def within_limits(
    rows_K: NDArray[np.int64], limits: Sequence[Limit], enough: int, *, forced: int = 0
) -> NDArray[np.int64]:
    """Places of the first items, at most `enough`, that keep to the limits together; the first `forced` always do."""
    left: list[dict[int, int]] = [{} for _ in limits]
    """Of each limit, how many items of a value may still come."""
    kept: list[int] = []
    for first in range(0, len(rows_K), _BLOCK):
        block = rows_K[first : first + _BLOCK]
        columns = [one.values_NW[block].tolist() for one in limits]
        for at, row in enumerate(block.tolist(), first):
            if len(kept) == enough:
                return np.array(kept, np.int64)
            values = [{*column[at - first]} - {0} for column in columns]
            fits = all(
                free.get(value, one.most) > 0
                for one, free, own in zip(limits, left, values, strict=True)
                for value in own
            )
            if row and (fits or at < forced):
                kept.append(at)
                for one, free, own in zip(limits, left, values, strict=True):
                    for value in own:
                        free[value] = free.get(value, one.most) - 1
    return np.array(kept, np.int64)
