"""Finds items with identical vectors, which no query can distinguish."""

import numpy as np
from numpy.typing import NDArray

_STEPS = 1e5
"""Vectors are compared after rounding to the largest absolute value divided by this number: the same item at another
position of a batch differs in the last bits."""
_ROWS = 1 << 16


def shared(vectors_ND: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which vectors occur more than once, [N]; they are compared by a hash of their rounded components."""
    blocks = range(0, len(vectors_ND), _ROWS)
    largest = max((float(np.abs(vectors_ND[at : at + _ROWS]).max(initial=0)) for at in blocks), default=0.0) or 1.0
    weights = np.random.default_rng(0).integers(np.iinfo(np.int64).max, size=vectors_ND.shape[1]) | 1
    hashes = np.zeros(len(vectors_ND), np.int64)
    for at in blocks:
        steps = np.rint(vectors_ND[at : at + _ROWS] * (_STEPS / largest)).astype(np.int64)
        hashes[at : at + _ROWS] = steps @ weights  # wraps around, as a hash may
    _, which, count = np.unique(hashes, return_inverse=True, return_counts=True)
    return np.asarray(count[which] > 1)
