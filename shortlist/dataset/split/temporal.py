"""By time, for all users at once: train | gap | validation | gap | test."""

from dataclasses import asdict, dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.dataset.split.parts import LEFT_OUT, TEST, TRAIN, VALID
from shortlist.dataset.split.splitter import SplitEvents, UserEvents
from shortlist.recipe import TemporalSplit


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


@dataclass(frozen=True)
class TemporalSplitter:
    """The part of an event is the window that it lies in; all queries of a part are at the start of its window.

    Events in the gap before are not in their histories, as when serving reads data that arrives late.
    """

    windows: Windows
    gap: int

    @classmethod
    def cut(cls, split: TemporalSplit, events: pl.LazyFrame, first: int, last: int) -> "TemporalSplitter":
        """For events from `first` to `last`. Raises ValueError when a window cannot be, or has no positive."""
        windows = Windows.of(split, first, last)
        _check_windows(events, windows, first, last)
        return cls(windows, split.gap)

    def split(self, events: UserEvents) -> SplitEvents:
        line = events.sorted_by(events.time)
        return SplitEvents(line, self.windows.parts(line.time), line.end)

    def query_time(self, part: int) -> int | None:
        return {VALID: self.windows.valid_start, TEST: self.windows.test_start}[part]

    def check_counts(self, num_samples: NDArray[np.int64]) -> None:
        """Every window has a positive: `cut` has seen to it."""

    def describe(self) -> dict[str, str]:
        return {"kind": "temporal", **{name: moment(time) for name, time in asdict(self.windows).items()}}


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


def _check_windows(events: pl.LazyFrame, windows: Windows, first: int, last: int) -> None:
    """Every window needs a positive."""
    spans = {
        "train": (windows.train_start, windows.train_end),
        "valid": (windows.valid_start, windows.valid_end),
        "test": (windows.test_start, windows.test_end),
    }
    time, positive = pl.col("time"), pl.col("positive")
    within = [(positive & time.is_between(*span, closed="left")).sum().alias(name) for name, span in spans.items()]
    found = events.select(within).collect(engine="streaming")
    for name, (start, end) in spans.items():
        if found[name][0] == 0:
            raise ValueError(
                f"split.{name}: no positive event lies in its window, {moment(start)} to {moment(end)}; the events go "
                f"from {moment(first)} to {moment(last)}: make split.{name} longer, or check interactions.positive"
            )
