"""Samples of data without order: a sample is a basket, the set of a user's items, each of which is predicted from the
others.

Shapes: S baskets, T items of all of them, B baskets of a batch, E examples of it (its items), X pairs.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shortlist.dataset.prepared import Samples
from shortlist.ragged import gather, places, ranges


@dataclass(frozen=True)
class Baskets:
    """The unique items of each user's train positives; basket `s` is `first[s]:first[s + 1]`."""

    first: NDArray[np.int64]
    """[S + 1]."""
    sample_T: NDArray[np.int64]
    """The sample that each item of a basket comes from."""

    @classmethod
    def of(cls, samples: Samples, examples: NDArray[np.int64], width: int) -> "Baskets":
        """The baskets of `examples`, positions in `samples`, which are ordered by user.

        A user with more than `width` items, the maximum that a query reads, has several baskets of nearly equal size;
        the items of one may be negatives of another, so the width should be at least the longest list.
        """
        user, item = samples.user[examples].astype(np.int64), samples.item[examples].astype(np.int64)
        _, once = np.unique(user * (int(item.max(initial=0)) + 1) + item, return_index=True)
        once.sort()
        user = user[once]
        begins = np.flatnonzero(np.append(True, user[1:] != user[:-1])[: len(user)])
        length = np.diff(np.append(begins, len(user)))
        pieces = -(-length // width)
        number = places(pieces)
        first = np.repeat(begins, pieces) + number * np.repeat(length, pieces) // np.repeat(pieces, pieces)
        return cls(np.append(first, len(user)), examples[once])

    def __len__(self) -> int:
        return len(self.first) - 1

    def take(self, chosen_B: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The samples of these baskets, concatenated, and the size of each basket."""
        return gather(self.sample_T, self.first, chosen_B)


def pairs_within(item_E: NDArray[np.int64], length_B: NDArray[np.int64]) -> NDArray[np.int64]:
    """(example, item) of every item of the example's own basket, [2, X], in the order of the examples."""
    size_E = np.repeat(length_B, length_B)
    first_E = np.repeat(np.cumsum(length_B) - length_B, length_B)
    return np.stack([np.repeat(np.arange(len(item_E)), size_E), item_E[ranges(first_E, size_E)]])
