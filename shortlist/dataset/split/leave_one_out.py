"""Leave-one-out: one positive of each user is the test, another the validation."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from shortlist.dataset.split.parts import TEST, TRAIN, VALID
from shortlist.dataset.split.random_order import random_order
from shortlist.dataset.split.splitter import SplitEvents, UserEvents, split_without_order

MIN_POSITIVES = 3
"""A user's two positives are taken only when one is left to train on."""


@dataclass(frozen=True)
class LeaveOneOutSplitter:
    """By time: the last positive is the test, the one before it the validation; each is queried at its own time."""

    gap: ClassVar[int] = 0

    def split(self, events: UserEvents) -> SplitEvents:
        line = events.sorted_by(events.time)
        part = leave_one_out_parts(line.bounds, line.time, events.positive.take(line.order))
        return SplitEvents(line, part, line.end)

    def query_time(self, part: int) -> int | None:  # noqa: ARG002
        return None

    def check_counts(self, num_samples: NDArray[np.int64]) -> None:
        if num_samples[TEST] == 0:
            raise ValueError(
                f"split.kind: leave_one_out needs a user with at least {MIN_POSITIVES} positive events and there is "
                "none; use more events, a wider interactions.positive, or a temporal split"
            )

    def describe(self) -> dict[str, str]:
        return {"kind": "leave_one_out"}


@dataclass(frozen=True)
class RandomLeaveOneOutSplitter(LeaveOneOutSplitter):
    """Of data without order: both positives are drawn by the seed."""

    seed: int

    def split(self, events: UserEvents) -> SplitEvents:
        part = random_leave_one_out_parts(self.seed, events.user, events.item, events.positive)
        return split_without_order(events, part)


def leave_one_out_parts(
    bounds: NDArray[np.int64], time: NDArray[np.int64], positive: NDArray[np.bool_]
) -> NDArray[np.int8]:
    """The part of each event, int8 [n], of events sorted by user and time; user `u` has `bounds[u]:bounds[u + 1]`.

    A user's last positive is the test, the one before it the validation, and all events before the time of the
    validation train; events of that very time or later are left out. Users with fewer than three positives only train.
    """
    count = np.zeros(len(time) + 1, np.int64)
    np.cumsum(positive.astype(np.int64), out=count[1:])
    positives = np.diff(count[bounds])
    enough = positives >= MIN_POSITIVES
    at = np.flatnonzero(positive)
    last = count[bounds[1:]][enough] - 1
    test, valid = at[last], at[last - 1]
    horizon = np.full(len(positives), np.iinfo(np.int64).max)
    horizon[enough] = time[valid]
    parts = (time < np.repeat(horizon, np.diff(bounds))).astype(np.int8)
    parts[test], parts[valid] = TEST, VALID
    return parts


def random_leave_one_out_parts(
    seed: int, user: NDArray[np.int32], item: NDArray[np.int32], positive: NDArray[np.bool_]
) -> NDArray[np.int8]:
    """The part of each event, int8 [n]: all train but two positives of each user who has three, drawn by the seed."""
    part = np.full(len(user), TRAIN, np.int8)
    order = random_order(seed, user, item, positive)
    enough = order.count >= MIN_POSITIVES
    part[order.at[enough & (order.place == 0)]] = TEST
    part[order.at[enough & (order.place == 1)]] = VALID
    return part
