"""Which events train, which judge: by time, or each user's last ones.

Parts of a sample: 0 left out, 1 train, 2 validation, 3 test.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shortlist.recipe import TemporalSplit

LEFT_OUT, TRAIN, VALID, TEST = 0, 1, 2, 3
MIN_POSITIVES = 3
"""Leave-one-out takes a user's last two positives only when one is left to train on."""


@dataclass(frozen=True)
class Windows:
    """Half-open windows of a temporal split, seconds: train | gap | validation | gap | test."""

    train_start: int
    train_end: int
    valid_start: int
    valid_end: int
    test_start: int
    test_end: int

    @classmethod
    def of(cls, split: TemporalSplit, first: int, last: int) -> "Windows":
        """Cut backwards from the last event. Raises ValueError when the events do not reach over all windows."""
        test_end = last + 1
        test_start = test_end - split.test
        valid_end = test_start - split.gap
        valid_start = valid_end - split.valid
        train_end = valid_start - split.gap
        train_start = first if split.train is None else max(first, train_end - split.train)
        windows = cls(train_start, train_end, valid_start, valid_end, test_start, test_end)
        for name, length in (("test", split.test), ("valid", split.valid)):
            if length == 0:
                raise ValueError(f"split.{name}: the window is 0 seconds long; give it a length, like 7d")
        if split.train == 0:
            raise ValueError("split.train: the window is 0 seconds long; give it a length, or leave it out")
        if train_end <= first:
            needed = split.test + split.valid + 2 * split.gap
            raise ValueError(
                f"split: no event is left to train on: the events go from {moment(first)} to {moment(last)}, "
                f"{span(last - first)}, and test, valid and the gaps take the last {span(needed)}; "
                "shorten split.test, split.valid or split.gap, or check interactions.time_unit"
            )
        return windows

    def parts(self, time: NDArray[np.int64]) -> NDArray[np.int8]:
        """The part of each event by its time, int8 [n]."""
        bounds = [self.train_start, self.train_end, self.valid_start, self.valid_end, self.test_start, self.test_end]
        kinds = np.array([LEFT_OUT, TRAIN, LEFT_OUT, VALID, LEFT_OUT, TEST, LEFT_OUT], np.int8)
        return kinds[np.searchsorted(bounds, time, side="right")]


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
    asked = positives >= MIN_POSITIVES
    at = np.flatnonzero(positive)
    last = count[bounds[1:]][asked] - 1
    test, valid = at[last], at[last - 1]
    horizon = np.full(len(positives), np.iinfo(np.int64).max)
    horizon[asked] = time[valid]
    parts = (time < np.repeat(horizon, np.diff(bounds))).astype(np.int8)
    parts[test], parts[valid] = TEST, VALID
    return parts


def moment(time: int) -> str:
    """Seconds since the epoch as a date (UTC), or as the plain number where no calendar reaches."""
    if not -62_135_596_800 <= time <= 253_402_300_799:
        return f"{time} s"
    return str(np.datetime64(time, "s")).replace("T", " ")


def span(seconds: int) -> str:
    """A duration in its largest fitting unit, like 3.5 days."""
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= length:
            return f"{seconds / length:.4g} {unit}"
    return f"{seconds} seconds"
