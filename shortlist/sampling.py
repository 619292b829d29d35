"""Draws random rows from a seed."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def draw_rows(count: int, limit: int, seed: int | Sequence[int]) -> NDArray[np.int64]:
    """At most `limit` of `count` rows, without replacement, sorted."""
    return np.sort(np.random.default_rng(seed).permutation(count)[:limit])
