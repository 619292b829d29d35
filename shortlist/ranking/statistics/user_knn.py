"""What those have who have much of what is in the history: user-kNN (Resnick et al. 1994), asked of candidates alone.

    ranking/alike_items.npy, alike_item_starts.npy   int32 [P], int64 [U + 1]: the items of every user
    ranking/alike_users.npy, alike_user_starts.npy   int32 [P], int64 [N + 1]: the users of every item

A table of neighbours counts pairs of items; who is alike had many of the history at once, which no pair tells.

Shapes: U users, N item rows, P pairs of the two, E queries, L events, K candidates, V users who have an event,
M entries of what was gathered.
Nothing here needs scipy: it is read when an answer is ranked.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.features.recency import last_of_each_user
from shortlist.ragged import ranges
from shortlist.ranking.statistics.arrays import open_arrays

_MOST_ALIKE = 400
"""Users who are asked what they have."""
_MAX_EVENTS = 500
"""Of a user, the last ones."""
_MAX_USERS = 1000
"""Of an item, spread evenly: what so many have says little of one of them, and would take the longest."""
_FILES = ("alike_items", "alike_item_starts", "alike_users", "alike_user_starts")


@dataclass(frozen=True)
class UserKNN:
    """Who has what, from both sides."""

    items_P: NDArray[np.int32]
    item_starts: NDArray[np.int64]
    users_P: NDArray[np.int32]
    user_starts: NDArray[np.int64]

    @classmethod
    def of(cls, users: NDArray[Any], items: NDArray[Any], num_rows: int) -> "UserKNN":
        """Of positives, in time order for each user."""
        last = last_of_each_user(users, _MAX_EVENTS)
        _, user = np.unique(users[last], return_inverse=True)
        pairs = np.unique(user.astype(np.int64) * num_rows + items[last])
        user, item = pairs // num_rows, pairs % num_rows
        by_item = np.argsort(item, kind="stable")
        by_item = by_item[_spread(item[by_item], num_rows)]
        num_users = int(user.max(initial=-1)) + 1
        return cls(
            item.astype(np.int32),
            _starts(user, num_users),
            user[by_item].astype(np.int32),
            _starts(item[by_item], num_rows),
        )

    @classmethod
    def open(cls, folder: Path) -> "UserKNN":
        """Raises ValueError when a file is missing, or they do not fit together."""
        arrays = open_arrays(folder, *_FILES, what="who has what")
        for (name, values), starts in zip(zip(_FILES[::2], arrays[::2], strict=True), arrays[1::2], strict=True):
            if values.ndim != 1 or starts.ndim != 1 or not len(starts) or starts[-1] != len(values):
                raise ValueError(
                    f"{folder}: {name}.npy and its starts do not fit together; take them from the same run"
                )
        return cls(*arrays)

    def save(self, folder: Path) -> None:
        arrays: list[NDArray[Any]] = [self.items_P, self.item_starts, self.users_P, self.user_starts]
        for name, array in zip(_FILES, arrays, strict=True):
            np.save(folder / f"{name}.npy", array)

    @property
    def num_rows(self) -> int:
        return len(self.user_starts) - 1

    def near(self, events_EL: NDArray[np.int64], candidates_EK: NDArray[np.int64]) -> NDArray[np.float32]:
        """How many of the users who are most alike have each candidate, each by how alike, squared: [E, K].

        A user is as alike as the cosine of what both have, where an item that d users have counts 1 / sqrt(d). Row 0
        of the events is padding.
        """
        near_EK = np.zeros(candidates_EK.shape, np.float32)
        # One place a row of the catalogue, cleared after each query, as in `ItemNeighbours.near`.
        place_N = np.zeros(self.num_rows, np.int32)
        for events_L, rows_K, near_K in zip(events_EL, candidates_EK, near_EK, strict=True):
            user_V, alike_V = self._most_alike(events_L[events_L > 0])
            place_N[rows_K], place_N[0] = np.arange(1, len(rows_K) + 1), 0
            item_M, lengths_V = _gather(self.items_P, self.item_starts, user_V)
            weight_M = np.repeat(np.square(alike_V), lengths_V)
            near_K[:] = np.bincount(place_N.take(item_M), weight_M, len(rows_K) + 1)[place_N.take(rows_K)]
            near_K[rows_K == 0] = 0
            place_N[rows_K] = 0
        return near_EK

    def _most_alike(self, item_X: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The users most alike to a history, and how much."""
        user_M, lengths_X = _gather(self.users_P, self.user_starts, item_X)
        says_M = np.repeat(1 / np.sqrt(np.maximum(lengths_X, 1)), lengths_X)
        # One sum a user of all: a search among those who are there takes longer until there are millions of users.
        shared_U = np.bincount(user_M, says_M, len(self.item_starts) - 1)
        user_V = np.flatnonzero(shared_U)
        has_V = self.item_starts[user_V + 1] - self.item_starts[user_V]
        alike_V = shared_U[user_V] / np.sqrt(has_V * max(len(item_X), 1))
        if len(user_V) > _MOST_ALIKE:
            best = np.argpartition(-alike_V, _MOST_ALIKE - 1)[:_MOST_ALIKE]
            user_V, alike_V = user_V[best], alike_V[best]
        return user_V, alike_V


def _starts(sorted_rows: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Where each of `count` rows begins in `sorted_rows`, and where the last ends."""
    return np.searchsorted(sorted_rows, np.arange(count + 1)).astype(np.int64)


def _spread(item_P: NDArray[np.int64], num_rows: int) -> NDArray[np.bool_]:
    """Of each of the sorted items at most `_MAX_USERS` entries, spread evenly over all."""
    starts = _starts(item_P, num_rows)
    number_P, count_P = np.arange(len(item_P)) - starts[item_P], np.diff(starts)[item_P]
    before_P, after_P = number_P * _MAX_USERS // count_P, (number_P + 1) * _MAX_USERS // count_P
    kept_P: NDArray[np.bool_] = (count_P <= _MAX_USERS) | (before_P != after_P)
    return kept_P


def _gather(
    values: NDArray[np.int32], starts: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The values of some rows end to end, and how many each has."""
    first, lengths = starts.take(rows), starts.take(rows + 1) - starts.take(rows)
    return values.take(ranges(first, lengths)), lengths
