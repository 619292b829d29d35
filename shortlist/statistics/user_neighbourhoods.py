"""The nearest users of all users at once, exactly: a sparse product made in blocks, for the pictures of the report.

Shapes: U users, R of them at a time, V neighbours of these, M items of the neighbours.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from shortlist.progress import Progress
from shortlist.ragged import gather, places_of_sorted
from shortlist.recipe import Recipe
from shortlist.recipe.candidates import UserNeighbours
from shortlist.statistics.co_occurrence import product_blocks
from shortlist.statistics.item_statistics import ItemStatistics
from shortlist.statistics.user_knn import UserKNN, largest

_PRODUCTS = 20_000_000
"""In memory at a time: about 240 MB."""
_AT_ONCE = 1_024
"""Users whose neighbours' items are read together."""
_RANGES = 20
"""The maximum number of ranges of a histogram."""


@dataclass(frozen=True)
class Neighbourhoods:
    """The neighbourhoods of all users who have values."""

    neighbours_U: NDArray[np.int64]
    """The number of neighbours that are read of each user."""
    reachable_U: NDArray[np.int64]
    """The number of items of these neighbours that the user does not have."""
    popularity_U: NDArray[np.int64]
    """For how many users each user is a neighbour."""


def all_nearest(users: UserKNN, most: int) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.float64]]]:
    """Of every user with values: the row, the at most `most` nearest other users, nearest first, and their
    similarities, as `UserKNN.nearest` finds them."""
    num_values = len(users.user_starts) - 1
    has_U = np.diff(users.value_starts)
    values = _matrix(users.values_P, users.value_starts, num_values) @ sp.diags_array(users.weights)
    owners = _matrix(users.users_P, users.user_starts, users.num_users)
    progress = Progress("build_index: user neighbours", users.num_users)
    for start, block in product_blocks(sp.csr_matrix(values), owners, _PRODUCTS):
        for row, (first, last) in enumerate(zip(block.indptr[:-1], block.indptr[1:], strict=True), start):
            if not has_U[row]:
                continue
            near, shared = block.indices[first:last], block.data[first:last]
            others = near != row
            near, shared = near[others].astype(np.int64), shared[others]
            yield row, *largest(near, shared / np.sqrt(has_U[near] * has_U[row]), most)
        progress.advance(block.shape[0])


def neighbourhoods(users: UserKNN, most: int, reach: int | None) -> Neighbourhoods:
    """The neighbourhoods of all users with values."""
    neighbours, reachable = [], []
    popularity_U = np.zeros(users.num_users, np.int64)
    found = all_nearest(users, most)
    while some := list(islice(found, _AT_ONCE)):
        row_R = np.array([row for row, _, _ in some])
        near_V = np.concatenate([near for _, near, _ in some])
        of_V = np.repeat(np.arange(len(some)), [len(near) for _, near, _ in some])
        read_V, reached_R = _read(users, row_R, near_V, of_V, reach)
        popularity_U += np.bincount(near_V[read_V], minlength=users.num_users)
        neighbours.append(np.bincount(of_V[read_V], minlength=len(some)))
        reachable.append(reached_R)
    has_values = np.diff(users.value_starts) > 0
    none = [np.zeros(0, np.int64)]
    return Neighbourhoods(
        np.concatenate(neighbours or none), np.concatenate(reachable or none), popularity_U[has_values]
    )


def describe_neighbourhoods(recipe: Recipe, statistics: ItemStatistics) -> dict[str, dict[str, Any]]:
    """Name of a source of user neighbours -> histograms of its neighbourhoods, as plain JSON."""
    found = {}
    for one in recipe.candidates.all_sources:
        if isinstance(one, UserNeighbours):
            all_users = neighbourhoods(statistics.users(one.by), one.neighbours, one.reach)
            found[one.label] = {
                "users": len(all_users.neighbours_U),
                "neighbours": _histogram(all_users.neighbours_U),
                "popularity": _histogram(all_users.popularity_U),
                "reachable": _histogram(all_users.reachable_U),
            }
    return found


def _histogram(values_U: NDArray[np.int64]) -> dict[str, Any]:
    """The mean, the median and the number of users in at most 20 ranges, each from its first number to its last."""
    largest_value = int(values_U.max(initial=0))
    width = largest_value // _RANGES + 1
    counts = np.bincount(values_U // width, minlength=largest_value // width + 1)
    ranges = [[i * width, (i + 1) * width - 1, count] for i, count in enumerate(counts.tolist())]
    if not len(values_U):
        return {"mean": 0.0, "median": 0.0, "ranges": []}
    return {"mean": round(float(values_U.mean()), 3), "median": float(np.median(values_U)), "ranges": ranges}


def _read(
    users: UserKNN, row_R: NDArray[np.int64], near_V: NDArray[np.int64], of_V: NDArray[np.int64], reach: int | None
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which neighbours of R users are read, [V], as in `UserKNN.items_of`; and how many new items they have, [R].

    `of_V` is the position of the user of each neighbour.
    """
    item_M, length_V = gather(users.items_P, users.item_starts, near_V)
    neighbour_M = np.repeat(np.arange(len(near_V)), length_V)
    key_M = of_V[neighbour_M] * users.num_rows + item_M
    own_P, length_R = gather(users.items_P, users.item_starts, row_R)
    own_P = np.repeat(np.arange(len(row_R)), length_R) * users.num_rows + own_P
    _, first = np.unique(key_M, return_index=True)
    first = np.sort(first[~np.isin(key_M[first], own_P)])
    of_first = of_V[neighbour_M[first]]
    last_R = np.full(len(row_R), len(near_V))
    if reach is not None:
        enough = places_of_sorted(of_first) == reach - 1
        last_R[of_first[enough]] = neighbour_M[first[enough]]
    read_V = np.arange(len(near_V)) <= last_R[of_V]
    return read_V, np.bincount(of_first[read_V[neighbour_M[first]]], minlength=len(row_R))


def _matrix(columns_P: NDArray[np.int32], starts: NDArray[np.int64], num_columns: int) -> Any:
    """1 for each pair, sparse [rows, columns], in double precision: similarities are compared with those of a query."""
    ones = np.ones(len(columns_P))
    return sp.csr_matrix((ones, columns_P, starts), (len(starts) - 1, num_columns))
