"""Ranges of different lengths, end to end."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def ranges(start_R: NDArray[Any], length_R: NDArray[Any]) -> NDArray[np.int64]:
    """The positions in R ranges, one range after the other, [sum of the lengths]."""
    before_R = np.cumsum(length_R) - length_R
    positions: NDArray[np.int64] = np.arange(int(length_R.sum())) + np.repeat(start_R - before_R, length_R)
    return positions


def places(length_R: NDArray[Any]) -> NDArray[np.int64]:
    """The place of each element in its own range, from 0, [sum of the lengths]."""
    return ranges(np.zeros_like(length_R), length_R)
