"""Events in time order per user, and for each the pointers to the history before it."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray


@dataclass(frozen=True)
class Timeline:
    """The events of a range of users, sorted by user, time and row of the table."""

    order: NDArray[np.int64]
    """Position in the unsorted range of each sorted event, [n]."""
    bounds: NDArray[np.int64]
    """Events `bounds[u]:bounds[u + 1]` are those of user row `first_user + u`, [users + 1]."""
    first_user: int
    user: NDArray[np.int32]
    time: NDArray[np.int64]
    in_history: NDArray[np.bool_]
    history: NDArray[np.int64]
    """Events in the history before each sorted event, whatever their time, [n + 1]; the last entry is their number."""
    end: NDArray[np.int64]
    """The same, but only those before the event's time: where the history of a query at that time ends, [n]."""

    @property
    def history_bounds(self) -> NDArray[np.int64]:
        """Like `bounds`, over the events that are in the history."""
        return self.history[self.bounds]

    def history_before(self, time: int) -> NDArray[np.int64]:
        """For each user the end of the history strictly before `time`, [users]."""
        before = np.zeros(len(self.time) + 1, np.int64)
        np.cumsum((self.in_history & (self.time < time)).astype(np.int64), out=before[1:])
        return self.history_bounds[:-1] + np.diff(before[self.bounds])


def timeline(
    user: NDArray[np.int32], time: NDArray[np.int64], in_history: NDArray[np.bool_], first_user: int, num_users: int
) -> Timeline:
    """Sort the events of user rows `first_user` to `first_user + num_users - 1`; ties keep the order of the rows."""
    order = _order(user, time)
    user, time, in_history = user.take(order), time.take(order), in_history.take(order)
    bounds = np.zeros(num_users + 1, np.int64)
    np.cumsum(np.bincount(user - np.int32(first_user), minlength=num_users), out=bounds[1:])
    history = np.zeros(len(user) + 1, np.int64)
    np.cumsum(in_history.astype(np.int64), out=history[1:])
    # The first event of each run of one user and time; what the history counts there is all before that time.
    opens = np.ones(len(user), bool)
    np.not_equal(time[1:], time[:-1], out=opens[1:])
    opens[bounds[:-1][np.diff(bounds) > 0]] = True
    starts = np.flatnonzero(opens)
    end = np.repeat(history[starts], np.diff(np.append(starts, len(user))))
    return Timeline(order, bounds, first_user, user, time, in_history, history, end)


def _order(user: NDArray[np.int32], time: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions by user, time and row.

    All three go into one integer when their bits allow it: sorting plain integers is several times faster than sorting
    positions by them.
    """
    count = len(user)
    if count == 0:
        return np.zeros(0, np.int64)
    low_user, low_time, row_bits = int(user.min()), int(time.min()), (count - 1).bit_length()
    time_bits = (int(time.max()) - low_time).bit_length()
    if (int(user.max()) - low_user).bit_length() + time_bits + row_bits > 63:
        return np.lexsort((time, user))
    key = user.astype(np.int64)
    key -= low_user
    key <<= time_bits
    key += time
    key -= low_time
    if (key[1:] >= key[:-1]).all():
        return np.arange(count)
    key <<= row_bits
    key |= np.arange(count)
    order = pl.Series(key).sort().to_numpy(writable=True)
    order &= (1 << row_bits) - 1
    return order
