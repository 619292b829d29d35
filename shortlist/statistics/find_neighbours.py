"""Finds the nearest neighbours of every item in the train window, by two similarities.

    co_occurrence   sum of 1/sqrt(|I_u|) over the users u of both items, divided by sqrt(|U_i| |U_j|): the cosine of two
                    items (Sarwar et al. 2001), with less weight for users with long histories (Karypis 2001)
    transitions     sum of 1/d over all pairs where j is the d-th event after i, d up to 5, divided by
                    sqrt(|U_i| |U_j|): which items follow soon after which; only for data with an order

Shapes: T tables, N item rows, n neighbours of each.
"""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from shortlist.features.recency import last_of_each_user
from shortlist.ragged import places_of_sorted
from shortlist.statistics.co_occurrence import interaction_matrix, product_blocks
from shortlist.statistics.item_neighbours import ItemNeighbours

_REACH = 5
_MAX_EVENTS = 500
"""The last events of a user that are used; the number of pairs grows with the square of the history length."""
_PRODUCTS = 20_000_000
"""In memory at a time: about 240 MB."""


def find_neighbours(
    users: NDArray[Any], items: NDArray[Any], num_rows: int, keep: int, *, ordered: bool = True
) -> ItemNeighbours:
    """The `keep` nearest neighbours of each item; `users` and `items` are the rows of the train positives.

    With `ordered`, the positives are in time order per user; otherwise only the first table is computed.
    """
    last = last_of_each_user(users, _MAX_EVENTS)
    users, items = np.asarray(users[last], np.int64), np.asarray(items[last], np.int64)
    matrix = interaction_matrix(users, items, num_rows)
    scale = _inverse_root(np.asarray(matrix.sum(axis=0)).ravel())
    # Each side of the product gets the square root of the user's weight.
    of_users = sp.csr_matrix(_inverse_root(np.sqrt(np.asarray(matrix.sum(axis=1)).ravel())) @ matrix @ scale)
    tables = [_nearest_of_product(of_users, keep)]
    if ordered:
        tables.append(_nearest(sp.csr_matrix(scale @ _after(users, items, num_rows) @ scale), 0, keep))
    return ItemNeighbours(np.stack([rows for rows, _ in tables]), np.stack([weights for _, weights in tables]))


def _inverse_root(counts: NDArray[Any]) -> Any:
    """1 / sqrt of counts of at least 1, as a diagonal matrix."""
    return sp.diags_array((1 / np.sqrt(np.maximum(counts, 1))).astype(np.float32))


def _after(users: NDArray[np.int64], items: NDArray[np.int64], num_rows: int) -> Any:
    """The sum of 1/d over all pairs where the column's item is the d-th event after the row's, sparse [N, N]."""
    counts = sp.csr_matrix((num_rows, num_rows), dtype=np.float32)
    for distance in range(1, min(_REACH, len(users) - 1) + 1):
        same = users[distance:] == users[:-distance]
        pairs = items[:-distance][same], items[distance:][same]
        counts = counts + sp.csr_matrix((np.full(len(pairs[0]), 1 / distance, np.float32), pairs), counts.shape)
    return counts


def _nearest_of_product(matrix: Any, keep: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The largest entries of each row of `matrix^T matrix`, computed in blocks of rows."""
    by_item = sp.csr_matrix(matrix.T)
    found = [_nearest(block, start, keep) for start, block in product_blocks(by_item, matrix, _PRODUCTS)]
    return np.concatenate([rows for rows, _ in found]), np.concatenate([weights for _, weights in found])


def _nearest(block: Any, first: int, keep: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The columns and values of the `keep` largest entries of each row, without the diagonal, both [rows, keep].

    Equal values are ordered by column. The first row of the block is item row `first`.
    """
    row = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
    others = (block.indices != row + first) & (block.indices > 0)
    row, column, value = row[others], block.indices[others], block.data[others]
    order = np.lexsort((column, -value, row))
    row, column, value = row[order], column[order], value[order]
    place = places_of_sorted(row)
    kept = place < keep
    rows, weights = np.zeros((block.shape[0], keep), np.int32), np.zeros((block.shape[0], keep), np.float32)
    rows[row[kept], place[kept]], weights[row[kept], place[kept]] = column[kept], value[kept]
    return rows, weights
