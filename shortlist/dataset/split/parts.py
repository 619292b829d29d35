"""The parts of a split, as the samples hold them."""

import numpy as np
from numpy.typing import NDArray

LEFT_OUT, TRAIN, VALID, TEST = 0, 1, 2, 3
PART_CODES = {"train": TRAIN, "valid": VALID, "test": TEST}
"""Of the names that data with a split of its own gives."""


def keep_latest(
    part: NDArray[np.int8], positive: NDArray[np.bool_], bounds: NDArray[np.int64], most: int
) -> NDArray[np.int8]:
    """The parts of events in the order of user and time, with only the latest `most` train positives of each user in
    train; user `u` has the events `bounds[u]:bounds[u + 1]`."""
    trains = (part == TRAIN) & positive
    so_far = np.append(0, np.cumsum(trains))
    later = np.repeat(so_far[bounds[1:]], np.diff(bounds)) - so_far[1:]
    return np.where(trains & (later >= most), np.int8(LEFT_OUT), part)
