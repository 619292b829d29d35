"""What every kind of split does: the parts of some users' events, and the time of their queries."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shortlist.dataset.split.parts import TRAIN
from shortlist.dataset.timeline import Timeline, timeline


@dataclass(frozen=True)
class UserEvents:
    """All events of user rows `first_user` to `first_user + num_users - 1`, in the order of the table."""

    first_user: int
    num_users: int
    user: NDArray[np.int32]
    item: NDArray[np.int32]
    time: NDArray[np.int64]
    positive: NDArray[np.bool_]
    in_history: NDArray[np.bool_]
    given_part: NDArray[np.int8] | None
    """The parts that the data gives, where the split reads them."""

    def sorted_by(self, time: NDArray[np.int64]) -> Timeline:
        return timeline(self.user, time, self.in_history, self.first_user, self.num_users)


@dataclass(frozen=True)
class SplitEvents:
    """The same events in the order of `line`, each with its part and with the end of the history that it reads."""

    line: Timeline
    part: NDArray[np.int8]
    end: NDArray[np.int64]


class Splitter(Protocol):
    """One kind of split with its settings. What it gives to a user's events depends on no other user."""

    @property
    def gap(self) -> int:
        """Seconds before a query whose events its history does not hold."""

    def split(self, events: UserEvents) -> SplitEvents:
        """The parts of all events of some users."""

    def query_time(self, part: int) -> int | None:
        """The one time of all queries of validation or test; None where it is that of each user's first target."""

    def check_counts(self, num_samples: NDArray[np.int64]) -> None:
        """Raise ValueError where a part has no sample and what to change; `num_samples` is [4]."""

    def describe(self) -> dict[str, str]:
        """For the report."""


def split_without_order(events: UserEvents, part: NDArray[np.int8]) -> SplitEvents:
    """Events that have no times, each in the part that is given for it.

    An event gets the number of its part for a time, 0 train, 1 validation, 2 test, so that "before" means "of an
    earlier part" for histories and queries alike. What trains reads all that its user has in train, the sample's own
    item among it: the batches leave that out.
    """
    line = events.sorted_by(part.astype(np.int64) - TRAIN)
    part = part.take(line.order)
    whole_train = np.repeat(line.history_before(1), np.diff(line.bounds))
    return SplitEvents(line, part, np.where(part == TRAIN, whole_train, line.end))
