"""Parts that the data itself gives, and the validation that is taken out of train where it gives none."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.dataset.split.parts import LEFT_OUT, PART_CODES, TRAIN, VALID
from shortlist.dataset.split.random_order import random_order
from shortlist.dataset.split.splitter import SplitEvents, UserEvents, split_without_order
from shortlist.recipe import GivenSplit

MIN_TRAIN_POSITIVES = 2
"""A user's last train positive is taken for validation only when one is left to train on."""


@dataclass(frozen=True)
class GivenSplitter:
    """Of data with times: validation is given, or each user's last train positive.

    Train events at or after the first validation or test event of their user are left out, since they would leak. The
    query of a user is at the time of the first target.
    """

    valid: Literal["given", "last"]
    gap: ClassVar[int] = 0

    def split(self, events: UserEvents) -> SplitEvents:
        assert events.given_part is not None
        line = events.sorted_by(events.time)
        part = events.given_part.take(line.order)
        if self.valid == "last":
            part = last_to_validation(line.bounds, events.positive.take(line.order), part)
        return SplitEvents(line, leave_out_late(line.bounds, line.time, part), line.end)

    def query_time(self, part: int) -> int | None:  # noqa: ARG002
        return None

    def check_counts(self, num_samples: NDArray[np.int64]) -> None:
        _check_validation(num_samples)

    def describe(self) -> dict[str, str]:
        return {"kind": "given"}


@dataclass(frozen=True)
class UnorderedGivenSplitter:
    """Of data without order: validation is given, or a share of each user's train positives, drawn by the seed."""

    valid: Literal["given"] | float
    seed: int
    gap: ClassVar[int] = 0

    def split(self, events: UserEvents) -> SplitEvents:
        part = events.given_part
        assert part is not None
        if self.valid != "given":
            part = share_to_validation(self.valid, self.seed, events.user, events.item, events.positive, part)
        return split_without_order(events, part)

    def query_time(self, part: int) -> int | None:  # noqa: ARG002
        return None

    def check_counts(self, num_samples: NDArray[np.int64]) -> None:
        _check_validation(num_samples)

    def describe(self) -> dict[str, str]:
        return {"kind": "given"}


def given_parts(part: pl.Series) -> NDArray[np.int8]:
    """`train`, `valid` and `test` as the numbers of their parts."""
    return part.replace_strict(PART_CODES, return_dtype=pl.Int8).to_numpy()


def check_given(events: pl.LazyFrame, split: GivenSplit) -> None:
    """Raise ValueError unless every part that the data is to give has a positive."""
    found = events.filter("positive").group_by("part").len().collect(engine="streaming")
    count = dict(found.iter_rows())
    for name in PART_CODES:
        if name == "valid" and split.valid != "given":
            if count.get(name):
                raise ValueError(
                    f"split.valid: {split.valid!r} takes validation from train, but {split.part!r} gives {count[name]} "
                    "validation positives; write `valid: given`, or call them train in the source's columns"
                )
        elif not count.get(name):
            mend = "; where the data has none, set split.valid to `last` or a share" if name == "valid" else ""
            raise ValueError(
                f"split.part: {split.part!r} gives {name!r} for no positive event, only "
                f"{', '.join(map(str, sorted(filter(None, count))))}{mend}"
            )


def last_to_validation(
    bounds: NDArray[np.int64], positive: NDArray[np.bool_], part: NDArray[np.int8]
) -> NDArray[np.int8]:
    """The parts of events sorted by user and time, each user's last train positive in validation.

    User `u` has `bounds[u]:bounds[u + 1]`.
    """
    part = part.copy()
    train = (part == TRAIN) & positive
    before = np.append(0, np.cumsum(train))[bounds]
    enough = np.diff(before) >= MIN_TRAIN_POSITIVES
    part[np.flatnonzero(train)[before[1:][enough] - 1]] = VALID
    return part


def leave_out_late(bounds: NDArray[np.int64], time: NDArray[np.int64], part: NDArray[np.int8]) -> NDArray[np.int8]:
    """The parts of events sorted by user and time, without train events that are as late as validation or test."""
    part, evaluates = part.copy(), part >= VALID
    horizon = np.full(len(bounds) - 1, np.iinfo(np.int64).max)
    np.minimum.at(horizon, np.repeat(np.arange(len(horizon)), np.diff(bounds))[evaluates], time[evaluates])
    part[(part == TRAIN) & (time >= np.repeat(horizon, np.diff(bounds)))] = LEFT_OUT
    return part


def share_to_validation(
    share: float,
    seed: int,
    user: NDArray[np.int32],
    item: NDArray[np.int32],
    positive: NDArray[np.bool_],
    part: NDArray[np.int8],
) -> NDArray[np.int8]:
    """The parts with a share of each user's train positives in validation, rounded, but never all of them."""
    part = part.copy()
    order = random_order(seed, user, item, (part == TRAIN) & positive)
    taken = np.floor(order.count * share + 0.5).clip(max=order.count - 1)
    part[order.at[order.place < taken]] = VALID
    return part


def _check_validation(num_samples: NDArray[np.int64]) -> None:
    if num_samples[VALID] == 0:
        raise ValueError(
            f"split.valid: no user has {MIN_TRAIN_POSITIVES} train positives, so that none can be taken for "
            "validation; give validation events, or use more data"
        )
