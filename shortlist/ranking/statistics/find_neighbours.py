"""Searches the neighbours of every item in the train window.

    together   sum over the users u of both of 1/sqrt(|I_u|), over sqrt(|U_i| |U_j|): the cosine of two items' users
               (Sarwar et al. 2001), where whoever has much says less of each pair (Karypis 2001)
    follows    sum over the events of i of the sum of 1/d for the d-th event after it that is j, d up to 5, over
               sqrt(|U_i| |U_j|): what comes soon after what, which the cosine cannot tell; not of data without order

Shapes: T tables, N item rows, n neighbours of each.
"""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from shortlist.features.recency import last_of_each_user
from shortlist.ranking.statistics.item_neighbours import ItemNeighbours

_REACH = 5
_MAX_EVENTS = 500
"""Of a user, the last ones: the pairs of a history grow with its square."""
_ENTRIES = 20_000_000
"""Products held at a time: about 240 MB."""


def find_neighbours(
    users: NDArray[Any], items: NDArray[Any], num_rows: int, keep: int, *, ordered: bool = True
) -> ItemNeighbours:
    """`users` and `items` are the rows of the train positives; keeps `keep` neighbours of each item.

    In time order for each user if `ordered`; otherwise nothing follows, and there is the first table alone.
    """
    last = last_of_each_user(users, _MAX_EVENTS)
    users, items = np.asarray(users[last], np.int64), np.asarray(items[last], np.int64)
    matrix = sp.csr_matrix((np.ones(len(users), np.float32), (users, items)), (int(users.max(initial=0)) + 1, num_rows))
    matrix.data[:] = 1.0
    scale = _inverse_root(np.asarray(matrix.sum(axis=0)).ravel())
    # Half of a user's weight on either side of the product.
    of_users = sp.csr_matrix(_inverse_root(np.sqrt(np.asarray(matrix.sum(axis=1)).ravel())) @ matrix @ scale)
    tables = [_nearest_of_product(of_users, keep)]
    if ordered:
        tables.append(_nearest(sp.csr_matrix(scale @ _after(users, items, num_rows) @ scale), 0, keep))
    return ItemNeighbours(np.stack([rows for rows, _ in tables]), np.stack([weights for _, weights in tables]))


def _inverse_root(counts: NDArray[Any]) -> Any:
    """1 / sqrt of counts of at least 1, as a diagonal matrix."""
    return sp.diags_array((1 / np.sqrt(np.maximum(counts, 1))).astype(np.float32))


def _after(users: NDArray[np.int64], items: NDArray[np.int64], num_rows: int) -> Any:
    """How often, by 1/d, the row's item is followed by the column's, sparse [N, N]."""
    counts = sp.csr_matrix((num_rows, num_rows), dtype=np.float32)
    for distance in range(1, min(_REACH, len(users) - 1) + 1):
        same = users[distance:] == users[:-distance]
        pairs = items[:-distance][same], items[distance:][same]
        counts = counts + sp.csr_matrix((np.full(len(pairs[0]), 1 / distance, np.float32), pairs), counts.shape)
    return counts


def _nearest_of_product(matrix: Any, keep: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The nearest of `matrix^T matrix`, made in blocks of rows."""
    by_item = sp.csr_matrix(matrix.T)
    products = np.cumsum(by_item.astype(bool) @ np.diff(matrix.indptr))
    found, start = [], 0
    while start < by_item.shape[0]:
        before = products[start - 1] if start else 0
        end = max(start + 1, int(np.searchsorted(products, before + _ENTRIES, side="right")))
        found.append(_nearest(sp.csr_matrix(by_item[start:end] @ matrix), start, keep))
        start = end
    return np.concatenate([rows for rows, _ in found]), np.concatenate([weights for _, weights in found])


def _nearest(block: Any, first: int, keep: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The `keep` largest entries of each row but the item's own, of equal ones the lower row; both [rows, keep].

    The block's rows are the items `first` and on.
    """
    row = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
    others = (block.indices != row + first) & (block.indices > 0)
    row, column, value = row[others], block.indices[others], block.data[others]
    order = np.lexsort((column, -value, row))
    row, column, value = row[order], column[order], value[order]
    place = np.arange(len(row)) - np.searchsorted(row, row)
    kept = place < keep
    rows, weights = np.zeros((block.shape[0], keep), np.int32), np.zeros((block.shape[0], keep), np.float32)
    rows[row[kept], place[kept]], weights[row[kept], place[kept]] = column[kept], value[kept]
    return rows, weights
