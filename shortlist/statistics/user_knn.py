"""User k-NN (Resnick et al. 1994), evaluated for the candidates only.

    ranking/alike_items.npy, alike_item_starts.npy   int32 [P], int64 [U + 1]: the items of every user
    ranking/alike_users.npy, alike_user_starts.npy   int32 [P], int64 [N + 1]: the users of every item

Item neighbours are statistics of pairs of items. The nearest users have many items of the history at once, which no
statistic of pairs shows.

Shapes: U users, N item rows, P pairs of user and item, E queries, L events, K candidates, V users with at least one
event in common, M gathered entries.
This module does not need scipy, since serving reads it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.features.recency import last_of_each_user
from shortlist.ragged import gather
from shortlist.statistics.arrays import open_arrays

_NUM_NEAREST = 400
"""The number of nearest users."""
_MAX_EVENTS = 500
"""The last events of a user that are used."""
_MAX_USERS = 1000
"""The users of an item that are used, evenly spaced: popular items say little about a user and cost the most time."""
_FILES = ("alike_items", "alike_item_starts", "alike_users", "alike_user_starts")


@dataclass(frozen=True)
class UserKNN:
    """The items of every user and the users of every item."""

    items_P: NDArray[np.int32]
    item_starts: NDArray[np.int64]
    users_P: NDArray[np.int32]
    user_starts: NDArray[np.int64]

    @classmethod
    def of(cls, users: NDArray[Any], items: NDArray[Any], num_rows: int) -> "UserKNN":
        """From positives, in time order per user."""
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
        """Raises ValueError when a file is missing, or when the files do not match."""
        arrays = open_arrays(folder, *_FILES, what="the items of the users")
        for (name, values), starts in zip(zip(_FILES[::2], arrays[::2], strict=True), arrays[1::2], strict=True):
            if values.ndim != 1 or starts.ndim != 1 or not len(starts) or starts[-1] != len(values):
                raise ValueError(f"{folder}: {name}.npy and its starts do not match; take them from the same run")
        return cls(*arrays)

    def save(self, folder: Path) -> None:
        arrays: list[NDArray[Any]] = [self.items_P, self.item_starts, self.users_P, self.user_starts]
        for name, array in zip(_FILES, arrays, strict=True):
            np.save(folder / f"{name}.npy", array)

    @property
    def num_rows(self) -> int:
        return len(self.user_starts) - 1

    def near(self, events_EL: NDArray[np.int64], candidates_EK: NDArray[np.int64]) -> NDArray[np.float32]:
        """The sum of squared similarities over the nearest users that have each candidate, [E, K].

        The similarity of two users is the cosine of their items, where an item of d users has the weight 1 / sqrt(d).
        Row 0 of the events is padding.
        """
        near_EK = np.zeros(candidates_EK.shape, np.float32)
        # A lookup table over the catalogue, cleared after each query, as in `ItemNeighbours.near`.
        place_N = np.zeros(self.num_rows, np.int32)
        for events_L, rows_K, near_K in zip(events_EL, candidates_EK, near_EK, strict=True):
            place_N[rows_K], place_N[0] = np.arange(1, len(rows_K) + 1), 0
            item_M, weight_M = self._items_of_nearest(events_L[events_L > 0])
            near_K[:] = np.bincount(place_N.take(item_M), weight_M, len(rows_K) + 1)[place_N.take(rows_K)]
            near_K[rows_K == 0] = 0
            place_N[rows_K] = 0
        return near_EK

    def nearest(self, events_L: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """All items of the users nearest to one history, in the order of their rows, and the sums as in `near`."""
        item_M, weight_M = self._items_of_nearest(events_L[events_L > 0])
        sum_N = np.bincount(item_M, weight_M, self.num_rows)
        rows = np.flatnonzero(sum_N)
        return rows, sum_N[rows]

    def _items_of_nearest(self, item_X: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """The items of each of the nearest users, user after user, with the user's squared similarity."""
        user_V, similarity_V = self._nearest_users(item_X)
        item_M, lengths_V = gather(self.items_P, self.item_starts, user_V)
        return item_M, np.repeat(np.square(similarity_V), lengths_V)

    def _nearest_users(self, item_X: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The users nearest to a history, and their similarities."""
        user_M, lengths_X = gather(self.users_P, self.user_starts, item_X)
        weight_M = np.repeat(1 / np.sqrt(np.maximum(lengths_X, 1)), lengths_X)
        # One sum per user: a search among the users that occur is faster only from millions of users on.
        shared_U = np.bincount(user_M, weight_M, len(self.item_starts) - 1)
        user_V = np.flatnonzero(shared_U)
        has_V = self.item_starts[user_V + 1] - self.item_starts[user_V]
        similarity_V = shared_U[user_V] / np.sqrt(has_V * max(len(item_X), 1))
        if len(user_V) > _NUM_NEAREST:
            best = np.argpartition(-similarity_V, _NUM_NEAREST - 1)[:_NUM_NEAREST]
            user_V, similarity_V = user_V[best], similarity_V[best]
        return user_V, similarity_V


def _starts(sorted_rows: NDArray[Any], count: int) -> NDArray[np.int64]:
    """The start of each of `count` rows in `sorted_rows`, and the end of the last one."""
    return np.searchsorted(sorted_rows, np.arange(count + 1)).astype(np.int64)


def _spread(item_P: NDArray[np.int64], num_rows: int) -> NDArray[np.bool_]:
    """A mask that keeps at most `_MAX_USERS` evenly spaced entries of each of the sorted items."""
    starts = _starts(item_P, num_rows)
    number_P, count_P = np.arange(len(item_P)) - starts[item_P], np.diff(starts)[item_P]
    before_P, after_P = number_P * _MAX_USERS // count_P, (number_P + 1) * _MAX_USERS // count_P
    kept_P: NDArray[np.bool_] = (count_P <= _MAX_USERS) | (before_P != after_P)
    return kept_P
