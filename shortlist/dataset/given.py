"""Parts that the data itself gives, and the validation that is carved out of them where it gives none."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.dataset.split import LEFT_OUT, MIN_POSITIVES, TEST, TRAIN, VALID
from shortlist.hashing import GAMMA, splitmix64
from shortlist.ragged import places
from shortlist.recipe import GivenSplit, LeaveOneOutSplit, Recipe

PART_CODES = {"train": TRAIN, "valid": VALID, "test": TEST}
MIN_TRAIN_POSITIVES = 2
"""A user's last train positive is taken for validation only when one is left to train on."""


@dataclass(frozen=True)
class Given:
    """How a given split becomes the part of each event, and leave-one-out where no event is the last.

    Data without order has no times; each event then gets the number of its part for a time, 0 train, 1 validation,
    2 test, so that "before" means "of an earlier part" for histories and queries alike.
    """

    valid: float | Literal["given", "last", "one"]
    """`one` draws a test and a validation positive of each user."""
    ordered: bool
    seed: int

    @classmethod
    def of(cls, recipe: Recipe) -> "Given | None":
        split, ordered = recipe.split, recipe.interactions.ordered
        if isinstance(split, LeaveOneOutSplit) and not ordered:
            return cls("one", ordered, recipe.seed)
        return cls(split.valid, ordered, recipe.seed) if isinstance(split, GivenSplit) else None

    def told(self, events: pl.DataFrame) -> NDArray[np.int8]:
        """The parts that the data tell: all train where one is drawn."""
        return np.full(len(events), TRAIN, np.int8) if self.valid == "one" else part_codes(events["part"])

    def drawn(
        self, user: NDArray[np.int32], item: NDArray[np.int32], positive: NDArray[np.bool_], part: NDArray[np.int8]
    ) -> NDArray[np.int8]:
        """The parts of unordered events, with those of each user's train positives that become validation, or test.

        Drawn by a hash of the seed, the user and the item, so that it does not matter which other users are here.
        """
        if self.valid in ("given", "last"):
            return part
        at = np.flatnonzero((part == TRAIN) & positive)
        at = at[np.lexsort((_hash(self.seed, user[at], item[at]), user[at]))]
        _, count = np.unique(user[at], return_counts=True)
        number = places(count)
        part = part.copy()
        if isinstance(self.valid, float):
            part[at[number < np.repeat(np.floor(count * self.valid + 0.5).clip(max=count - 1), count)]] = VALID
            return part
        enough = np.repeat(count >= MIN_POSITIVES, count)
        part[at[enough & (number == 0)]], part[at[enough & (number == 1)]] = TEST, VALID
        return part

    def ordered_parts(
        self,
        bounds: NDArray[np.int64],
        time: NDArray[np.int64],
        positive: NDArray[np.bool_],
        part: NDArray[np.int8],
    ) -> NDArray[np.int8]:
        """The parts of events sorted by user and time; user `u` has `bounds[u]:bounds[u + 1]`.

        Train events that are not before the first event that judges their user are left out: they would tell of what
        is asked.
        """
        part = part.copy()
        if self.valid == "last":
            train = (part == TRAIN) & positive
            before = np.append(0, np.cumsum(train))[bounds]
            enough = np.diff(before) >= MIN_TRAIN_POSITIVES
            part[np.flatnonzero(train)[before[1:][enough] - 1]] = VALID
        judges = part >= VALID
        horizon = np.full(len(bounds) - 1, np.iinfo(np.int64).max)
        np.minimum.at(horizon, np.repeat(np.arange(len(horizon)), np.diff(bounds))[judges], time[judges])
        part[(part == TRAIN) & (time >= np.repeat(horizon, np.diff(bounds)))] = LEFT_OUT
        return part


def part_codes(part: pl.Series) -> NDArray[np.int8]:
    """`train`, `valid` and `test` as the numbers of their parts."""
    return part.replace_strict(PART_CODES, return_dtype=pl.Int8).to_numpy()


def _hash(seed: int, user: NDArray[np.int32], item: NDArray[np.int32]) -> NDArray[np.uint64]:
    """Of the seed and the pair."""
    with np.errstate(over="ignore"):
        state = (user.astype(np.uint64) << np.uint64(32) | item.astype(np.uint64)) + np.uint64(seed + 1) * GAMMA
    return splitmix64(state)
