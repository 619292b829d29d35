"""A random order of each user's events, which depends on the seed and the user's own items alone.

Drawn by a hash, so that it does not matter which other users are handled beside one.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shortlist.hashing import GAMMA, splitmix64
from shortlist.ragged import places


@dataclass(frozen=True)
class RandomOrder:
    """Some events, user after user, those of each user in random order."""

    at: NDArray[np.int64]
    """Where they stand."""
    place: NDArray[np.int64]
    """The place of each in its user's order, from 0."""
    count: NDArray[np.int64]
    """How many the user has."""


def random_order(seed: int, user: NDArray[np.int32], item: NDArray[np.int32], chosen: NDArray[np.bool_]) -> RandomOrder:
    """The order of the events that are `chosen`."""
    at = np.flatnonzero(chosen)
    at = at[np.lexsort((_hash(seed, user[at], item[at]), user[at]))]
    _, count = np.unique(user[at], return_counts=True)
    return RandomOrder(at, places(count), np.repeat(count, count))


def _hash(seed: int, user: NDArray[np.int32], item: NDArray[np.int32]) -> NDArray[np.uint64]:
    """Of the seed and the pair."""
    with np.errstate(over="ignore"):
        state = (user.astype(np.uint64) << np.uint64(32) | item.astype(np.uint64)) + np.uint64(seed + 1) * GAMMA
    return splitmix64(state)
