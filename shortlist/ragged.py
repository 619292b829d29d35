"""Concatenated ranges of different lengths."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray


def ranges(start_R: NDArray[Any], length_R: NDArray[Any]) -> NDArray[np.int64]:
    """The positions in R ranges, one range after the other, [sum of the lengths]."""
    before_R = np.cumsum(length_R) - length_R
    positions: NDArray[np.int64] = np.arange(int(length_R.sum())) + np.repeat(start_R - before_R, length_R)
    return positions


def gather(
    values: NDArray[Any], offsets: NDArray[np.int64], at_R: NDArray[np.int64]
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The concatenated values of R rows, and the length of each; row `r` is `values[offsets[r]:offsets[r + 1]]`."""
    start_R = offsets.take(at_R)
    length_R = offsets.take(at_R + 1) - start_R
    return values.take(ranges(start_R, length_R)), length_R


def places(length_R: NDArray[Any]) -> NDArray[np.int64]:
    """The position of each element in its own range, from 0, [sum of the lengths]."""
    return ranges(np.zeros_like(length_R), length_R)


def places_of_sorted(keys: NDArray[Any]) -> NDArray[np.int64]:
    """The position of each element among those with the same key, from 0; `keys` must be sorted."""
    return np.arange(len(keys)) - np.searchsorted(keys, keys)


def row_blocks(count_R: NDArray[np.int64], limit: int, *, first: int = 0) -> Iterator[tuple[int, int]]:
    """Blocks `start:stop` of the rows from `first` on, with at most `limit` elements or a single row each."""
    total, start = np.cumsum(count_R), first
    while start < len(count_R):
        before = total[start - 1] if start else 0
        stop = max(int(np.searchsorted(total, before + limit, side="right")), start + 1)
        yield start, stop
        start = stop
