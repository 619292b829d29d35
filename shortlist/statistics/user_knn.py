"""User k-NN (Resnick et al. 1994), evaluated for the candidates only.

    ranking/alike_items.npy, alike_item_starts.npy   int32 [P], int64 [U + 1]: the items of every user
    ranking/alike_users.npy, alike_user_starts.npy   int32 [P], int64 [N + 1]: the users of every item

Users may also be compared by a category of theirs, such as the songs that they like, instead of by their items:

    index/alike_<category>_items.npy, ..._item_starts.npy     as above
    index/alike_<category>_users.npy, ..._user_starts.npy     int32 [P], int64 [V + 1]: the users of every value
    index/alike_<category>_values.npy, ..._value_starts.npy   int32 [P], int64 [U + 1]: the values of every user
    index/alike_<category>_num_rows.npy                       int64 [1]: N

Item neighbours are statistics of pairs of items. The nearest users have many items of the history at once, which no
statistic of pairs shows.

Shapes: U users, N item rows, P pairs of user and item, X values of a query (items, unless users are compared by a
category), E queries, L events, K candidates, V users with at least one value in common, M gathered entries.
This module does not need scipy, since serving reads it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from shortlist.features.recency import last_of_each_user
from shortlist.names import plain
from shortlist.ragged import gather
from shortlist.statistics.arrays import open_arrays

_NUM_NEAREST = 400
"""The number of nearest users that the ranker reads."""
_MAX_EVENTS = 500
"""The last events of a user that are used."""
_MAX_USERS = 1000
"""The users of an item that are used, evenly spaced: popular items say little about a user and cost the most time."""
_LISTS = ("item", "user", "value")
"""Each is a file of lists and a file of their starts."""


@dataclass(frozen=True)
class UserKNN:
    """The items of every user, and what users are compared by: their items, or the values of a category."""

    items_P: NDArray[np.int32]
    item_starts: NDArray[np.int64]
    users_P: NDArray[np.int32]
    user_starts: NDArray[np.int64]
    values_P: NDArray[np.int32]
    value_starts: NDArray[np.int64]
    """The values of every user; the items, if users are compared by them."""
    num_rows: int
    """The number of item rows."""

    @classmethod
    def of(cls, users: NDArray[Any], items: NDArray[Any], num_rows: int) -> "UserKNN":
        """Users compared by their items: from positives, in time order per user."""
        user, item = _pairs(users, items, num_rows, _MAX_EVENTS)
        by_item = np.argsort(item, kind="stable")
        by_item = by_item[_spread(item[by_item], num_rows)]
        items_P, item_starts = item.astype(np.int32), _starts(user, int(user.max(initial=-1)) + 1)
        users_P, user_starts = user[by_item].astype(np.int32), _starts(item[by_item], num_rows)
        return cls(items_P, item_starts, users_P, user_starts, items_P, item_starts, num_rows)

    @classmethod
    def by(
        cls, values_UW: NDArray[Any], num_values: int, users: NDArray[Any], items: NDArray[Any], num_rows: int
    ) -> "UserKNN":
        """Users compared by the cosine of their values: `values_UW` has those of every user row, where 0 is padding.

        All users of a value are kept, so that the nearest users are exact.
        """
        user, item = _pairs(users, items, num_rows, _MAX_EVENTS)
        owner, column = np.nonzero(values_UW)
        owner, value = _pairs(owner, values_UW[owner, column], num_values, values_UW.shape[1])
        by_value = np.argsort(value, kind="stable")
        return cls(
            item.astype(np.int32),
            _starts(user, len(values_UW)),
            owner[by_value].astype(np.int32),
            _starts(value[by_value], num_values),
            value.astype(np.int32),
            _starts(owner, len(values_UW)),
            num_rows,
        )

    @classmethod
    def open(cls, folder: Path, by: str | None = None) -> "UserKNN":
        """Raises ValueError when a file is missing, or when the files do not match."""
        lists = _LISTS[:2] if by is None else _LISTS
        names = [_file(by, f"{one}{end}") for one in lists for end in ("s", "_starts")]
        arrays = open_arrays(folder, *names, what="the items of the users")
        for (name, values), starts in zip(zip(names[::2], arrays[::2], strict=True), arrays[1::2], strict=True):
            if values.ndim != 1 or starts.ndim != 1 or not len(starts) or starts[-1] != len(values):
                raise ValueError(f"{folder}: {name}.npy and its starts do not match; take them from the same run")
        if by is None:
            items, item_starts, users, user_starts = arrays
            return cls(items, item_starts, users, user_starts, items, item_starts, len(user_starts) - 1)
        (num_rows,) = open_arrays(folder, _file(by, "num_rows"), what="the items of the users")
        items, item_starts, users, user_starts, values, value_starts = arrays
        found = cls(items, item_starts, users, user_starts, values, value_starts, int(num_rows.sum()))
        if len(found.item_starts) != len(found.value_starts) or found.items_P.max(initial=0) >= found.num_rows:
            raise ValueError(f"{folder}: the users by {by} and their items do not match; take them from the same run")
        return found

    def save(self, folder: Path, by: str | None = None) -> None:
        arrays: dict[str, NDArray[Any]] = {
            "items": self.items_P,
            "item_starts": self.item_starts,
            "users": self.users_P,
            "user_starts": self.user_starts,
        }
        if by is not None:
            arrays |= {
                "values": self.values_P,
                "value_starts": self.value_starts,
                "num_rows": np.array([self.num_rows], np.int64),
            }
        for name, array in arrays.items():
            np.save(folder / f"{_file(by, name)}.npy", array)

    @property
    def num_users(self) -> int:
        return len(self.item_starts) - 1

    @property
    def by_items(self) -> bool:
        """Whether users are compared by their items."""
        return self.values_P is self.items_P

    @property
    def fingerprint(self) -> int:
        """A checksum of the items of the users, which changes with the data."""
        return crc32(self.items_P.tobytes(), crc32(self.item_starts.tobytes()))

    @property
    def weights(self) -> NDArray[np.float64]:
        """How much it counts that two users share a value: 1 / sqrt of the number of users of an item, 1 for the
        values of a category."""
        count = np.diff(self.user_starts)
        return 1 / np.sqrt(np.maximum(count, 1)) if self.by_items else np.ones(len(count))

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
            item_M, weight_M, _ = self._gathered(*self.nearest(events_L, _NUM_NEAREST))
            near_K[:] = np.bincount(place_N.take(item_M), weight_M, len(rows_K) + 1)[place_N.take(rows_K)]
            near_K[rows_K == 0] = 0
            place_N[rows_K] = 0
        return near_EK

    def nearest(
        self, values_X: NDArray[np.int64], most: int, *, user: int = 0
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The at most `most` nearest users, nearest first, of a query with these values, and their similarities.

        `user` is the row of the user of the query, who is not a neighbour; 0 for an unknown one.
        """
        values_X = values_X[values_X > 0]
        user_M, lengths_X = gather(self.users_P, self.user_starts, values_X)
        weight_M = None if not self.by_items else np.repeat(1 / np.sqrt(np.maximum(lengths_X, 1)), lengths_X)
        # One sum per user: a search among the users that occur is faster only from millions of users on.
        shared_U = np.bincount(user_M, weight_M, self.num_users)
        if 0 < user < len(shared_U):
            shared_U[user] = 0
        user_V = np.flatnonzero(shared_U)
        has_V = self.value_starts[user_V + 1] - self.value_starts[user_V]
        return largest(user_V, shared_U[user_V] / np.sqrt(has_V * max(len(values_X), 1)), most)

    def items_of(
        self,
        user_V: NDArray[np.int64],
        similarity_V: NDArray[np.float64],
        own: NDArray[Any] | None = None,
        reach: int | None = None,
    ) -> "ItemsOfUsers":
        """The items of these users, nearest first, and the sum of squared similarities over the users of each.

        With `reach`, only as many of the users are read as are needed for this number of items that are not `own`.
        """
        item_M, weight_M, num_users = self._gathered(user_V, similarity_V, own, reach)
        sum_N = np.bincount(item_M, weight_M, self.num_rows)
        rows = np.flatnonzero(sum_N)
        return ItemsOfUsers(rows, np.asarray(sum_N[rows], np.float64), num_users)

    def _gathered(
        self,
        user_V: NDArray[np.int64],
        similarity_V: NDArray[np.float64],
        own: NDArray[Any] | None = None,
        reach: int | None = None,
    ) -> tuple[NDArray[np.int32], NDArray[np.float64], int]:
        """The items of each user that is read, user after user, with the user's squared similarity; and how many users
        are read."""
        item_M, lengths_V = gather(self.items_P, self.item_starts, user_V)
        if reach is not None:
            _, first = np.unique(item_M, return_index=True)
            first = np.sort(first[~np.isin(item_M[first], [] if own is None else own)])
            if len(first) >= reach:
                enough = int(np.searchsorted(np.cumsum(lengths_V), first[reach - 1], side="right")) + 1
                similarity_V, lengths_V = similarity_V[:enough], lengths_V[:enough]
                item_M = item_M[: int(lengths_V.sum())]
        return item_M, np.repeat(np.square(similarity_V), lengths_V), len(lengths_V)


class ItemsOfUsers(NamedTuple):
    """What the neighbours of a user have."""

    rows: NDArray[np.int64]
    """Unique item rows, ascending."""
    scores: NDArray[np.float64]
    num_users: int
    """How many of the users were read."""


def largest(
    users: NDArray[np.int64], similarity: NDArray[np.float64], most: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The `most` largest similarities, largest first, and their users; equal ones in the order of the users."""
    if len(users) > most:
        kept = similarity >= np.partition(similarity, len(users) - most)[len(users) - most]
        users, similarity = users[kept], similarity[kept]
    order = np.lexsort((users, -similarity))[:most]
    return users[order], similarity[order]


def _file(by: str | None, name: str) -> str:
    return f"alike_{name}" if by is None else plain(f"alike_{by}_{name}")


def _pairs(
    users: NDArray[Any], values: NDArray[Any], num_values: int, most: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The different pairs of user and value among the last `most` of each user, in order."""
    last = last_of_each_user(users, most)
    pairs = np.unique(users[last].astype(np.int64) * num_values + values[last])
    return pairs // num_values, pairs % num_values


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
