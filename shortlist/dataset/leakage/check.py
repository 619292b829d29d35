"""What the checks share: the error, the first row that breaks a rule, and blocks of samples."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from shortlist.dataset.columns import blocks

_BLOCK = 1 << 21


class LeakageError(ValueError):
    """A sample that could see its own future; the message names it."""


def first_where(bad: NDArray[np.bool_]) -> int | None:
    """Position of the first row that is bad; None when there is none."""
    return int(np.argmax(bad)) if bad.any() else None


def in_blocks(count: int) -> Iterator[slice]:
    """Slices that make up `count` rows, so that the memory a check takes does not grow with the data."""
    return blocks(count, _BLOCK)
