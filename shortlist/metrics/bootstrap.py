"""Paired bootstrap confidence intervals of means over queries (Efron 1979; percentile method).

Every column is resampled with the same queries. The interval of the difference between two systems is therefore
the interval of the column that holds their per-query differences.
"""

import numpy as np
from numpy.typing import NDArray

_BLOCK = 4_000_000  # draws held at a time


def intervals(
    values_QM: NDArray[np.float64], *, resamples: int, confidence: float, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean, low and high of every column, each [M]; zeros when there are no queries."""
    count, width = values_QM.shape
    if count == 0:
        return np.zeros(width), np.zeros(width), np.zeros(width)
    rng = np.random.default_rng(seed)
    means = np.empty((resamples, width))
    step = max(1, _BLOCK // count)
    for start in range(0, resamples, step):
        block = min(step, resamples - start)
        drawn = rng.integers(count, size=(block, count)) + count * np.arange(block)[:, None]
        times_BQ = np.bincount(drawn.ravel(), minlength=block * count).reshape(block, count)
        means[start : start + block] = times_BQ @ values_QM / count
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return values_QM.mean(axis=0), low, high
