"""Which users have which items, and products of that, made in blocks: what every count of item pairs begins with.

Shapes: U users, N item rows.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from shortlist.ragged import row_blocks


def interaction_matrix(users: NDArray[Any], items: NDArray[Any], num_rows: int) -> Any:
    """1 where a user has an item, however often, sparse float32 [U, N]."""
    shape = (int(users.max(initial=0)) + 1, num_rows)
    matrix = sp.csr_matrix((np.ones(len(users), np.float32), (users, items)), shape)
    matrix.data[:] = 1.0
    return matrix


def product_blocks(by_item: Any, matrix: Any, limit: int) -> Iterator[tuple[int, Any]]:
    """`by_item @ matrix` in blocks of rows that take at most `limit` products each: the first row, and the block."""
    products = by_item.astype(bool) @ np.diff(matrix.indptr)  # an upper bound of what each row holds
    for start, stop in row_blocks(products, limit):
        yield start, sp.csr_matrix(by_item[start:stop] @ matrix)
