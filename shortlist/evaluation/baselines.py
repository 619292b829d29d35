"""Baselines that are evaluated on the same queries as the models: buying again and item-kNN.

Shapes: Q queries, N item rows (0 among them), K ranked items.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from shortlist.features.availability import Availability
from shortlist.features.recency import last_of_each_user
from shortlist.progress import Progress
from shortlist.ragged import places_of_sorted
from shortlist.recommend.sources.popularity import Popularity
from shortlist.statistics.co_occurrence import interaction_matrix, product_blocks

_PRODUCTS = 20_000_000  # in memory at a time: about 240 MB
_QUERIES = 512  # ranked at a time


class BuyAgain:
    """The items of the user's own history by frequency, ties by recency; filled up with the most popular items.

    This is the personal top-frequency baseline of next-basket recommendation (Hu et al. 2020; Li et al. 2023). Where
    users return to the same items, much larger models often do not reach it.
    """

    def __init__(self, popularity: Popularity) -> None:
        """`popularity` also decides which items are available."""
        self._popularity = popularity

    def rank(
        self, k: int, histories: Sequence[NDArray[Any]], time_Q: NDArray[np.int64] | None = None
    ) -> NDArray[np.int64]:
        """The k item rows of each query, [Q, k], padded with 0. Histories are in time order.

        With `time_Q`, only items that are available at the time of the query are recommended.
        """
        flat = np.concatenate([*histories, np.zeros(0, np.int64)]).astype(np.int64)
        query = np.repeat(np.arange(len(histories)), [len(one) for one in histories])
        if time_Q is not None:
            available = self._popularity.available.among(flat, time_Q[query])
            flat, query = flat[available], query[available]
        width = int(flat.max(initial=0)) + 1
        keys, first, count = np.unique(
            (query * width + flat)[::-1], return_index=True, return_counts=True
        )  # reversed, so that the first occurrence is the latest event
        order = np.lexsort((first, -count, keys // width))
        owner, rows = np.divmod(keys[order], width)
        place = places_of_sorted(owner)
        kept = place < k
        own_QK = np.zeros((len(histories), k), np.int64)
        own_QK[owner[kept], place[kept]] = rows[kept]
        rest_QK = self._popularity.rank(k, [one[one > 0] for one in own_QK], time_Q)
        both = np.concatenate([own_QK, rest_QK], axis=1)
        return np.take_along_axis(both, np.argsort(both == 0, axis=1, kind="stable")[:, :k], axis=1)


class ItemKNN:
    """Item-based nearest neighbours (Sarwar et al. 2001; Deshpande and Karypis 2004).

    The similarity of two items is the cosine of their columns in the binary matrix of users and train positives,
    s(i, j) = |U_i and U_j| / sqrt(|U_i| |U_j|). The score of an available item is the sum of its similarities to those
    items of the history that have it among their `neighbours` nearest. Where fewer than k items have a score, the list
    is filled up with the most popular items.
    """

    def __init__(
        self,
        users: NDArray[Any],
        items: NDArray[Any],
        counts_N: NDArray[np.int64],
        read: NDArray[np.int64],
        *,
        neighbours: int = 100,
        max_events: int = 500,
        available: Availability | None = None,
    ) -> None:
        """`users` and `items` are the rows of the train positives, in time order for each user; `read` are the items
        that the histories may contain, sorted and unique.

        Only the last `max_events` events of a user are used, since the work grows with their square.
        """
        last = last_of_each_user(users, max_events)
        users, items = users[last], items[last]
        matrix = interaction_matrix(users, items, len(counts_N))
        support = np.asarray(matrix.sum(axis=0)).ravel()
        self._matrix = matrix @ sp.diags_array(1 / np.sqrt(np.maximum(support, 1)).astype(np.float32))
        self._popularity = Popularity(counts_N, available)
        self._neighbours = neighbours
        self._read = read
        self._similar_RN = self._similar(read)

    def rank(
        self,
        k: int,
        histories: Sequence[NDArray[Any]],
        exclude: Sequence[NDArray[Any]],
        time_Q: NDArray[np.int64] | None = None,
    ) -> NDArray[np.int64]:
        """The k best item rows of each query without its excluded ones, [Q, k], padded with 0.

        With `time_Q`, only items that are available at the time of the query are recommended.
        """
        flat = np.concatenate([*histories, np.zeros(0, np.int64)])
        place = np.searchsorted(self._read, flat)
        assert np.array_equal(self._read[place], flat)
        query = np.repeat(np.arange(len(histories)), [len(one) for one in histories])
        history_QR = sp.csr_matrix((np.ones(len(flat), np.float32), (query, place)), (len(histories), len(self._read)))
        history_QR.data[:] = 1.0
        rows_QK = self._popularity.rank(k, exclude, time_Q)
        progress = Progress("item-kNN: queries", len(histories))
        for start in range(0, len(histories), _QUERIES):
            scores = sp.csr_matrix(history_QR[start : start + _QUERIES] @ self._similar_RN)
            for q in range(scores.shape[0]):
                part = slice(scores.indptr[q], scores.indptr[q + 1])
                rows, values = scores.indices[part], scores.data[part]
                free = ~np.isin(rows, exclude[start + q]) & (rows > 0)
                if time_Q is not None:
                    free &= self._popularity.available.among(rows, time_Q[start + q])
                best = _best(rows[free], values[free], k)
                rest = rows_QK[start + q]
                rest = rest[~np.isin(rest, best)]
                rows_QK[start + q] = np.concatenate([best, rest])[:k]
            progress.advance(scores.shape[0])
        return rows_QK

    def _similar(self, read: NDArray[np.int64]) -> Any:
        """The similarities of these items to their nearest neighbours, sparse [len(read), N]."""
        by_item = sp.csr_matrix(self._matrix.T)[read]
        progress, blocks = Progress("item-kNN: neighbours", len(read)), []
        for start, block in product_blocks(by_item, self._matrix, _PRODUCTS):
            blocks.append(self._nearest(block, read[start : start + block.shape[0]]))
            progress.advance(block.shape[0])
        return (
            sp.vstack(blocks, format="csr") if blocks else sp.csr_matrix((0, self._matrix.shape[1]), dtype=np.float32)
        )

    def _nearest(self, block: Any, read: NDArray[np.int64]) -> Any:
        """The `neighbours` largest entries of each row, without the item itself."""
        indices, data, lengths = [], [], []
        for i, row in enumerate(read):
            part = slice(block.indptr[i], block.indptr[i + 1])
            others = block.indices[part] != row
            rows, values = block.indices[part][others], block.data[part][others]
            kept = _best(np.arange(len(rows)), values, self._neighbours)
            indices.append(rows[kept])
            data.append(values[kept])
            lengths.append(len(kept))
        pointers = np.append(0, np.cumsum(lengths))
        return sp.csr_matrix((np.concatenate(data), np.concatenate(indices), pointers), block.shape)


def _best(rows: NDArray[Any], values: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """The rows of the k largest values, largest first; equal values are ordered by row."""
    kept = np.flatnonzero(values >= np.partition(values, -k)[-k]) if len(values) > k else np.arange(len(values))
    order = np.lexsort((rows[kept], -values[kept]))[:k]
    return rows[kept[order]].astype(np.int64)
