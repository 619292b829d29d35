"""Rows of a page: an item of one row is in no later row of the same page, and the later row is filled up with others.

All rows are searched at once, each for as many items as its own list and all earlier rows of its page have together.
Whatever the earlier rows turn out to show, enough are left: a row only comes short when there are no more items. The
exception are rows with limits (`at_most`), where an item that is left out may have kept another one of its value out of
the candidates. Such a row is searched again, without what the earlier rows show.

Shapes: E queries, K items each.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.answer.query import Query
from shortlist.recommend.lists import Recommendations
from shortlist.recommend.rerankers import EMPTY


def depths(queries: Sequence[Query]) -> NDArray[np.int64]:
    """How many items to search for each query, [E]."""
    sums: dict[int, int] = {}
    found = []
    for query in queries:
        depth = query.k
        if query.page is not None:
            depth = sums[query.page] = sums.get(query.page, 0) + query.k
        found.append(depth)
    return np.array(found, np.int64)


def shown(queries: Sequence[Query], lists: Recommendations) -> list[NDArray[np.int64]]:
    """The columns of the items that each list shows, in its order."""
    earlier: dict[int, list[NDArray[np.int64]]] = {}
    columns = []
    for e, query in enumerate(queries):
        rows = lists.rows_EK[e, : np.count_nonzero(lists.rows_EK[e])]
        left = np.arange(len(rows))
        if query.page is not None and query.page in earlier:
            left = left[~np.isin(rows, np.concatenate(earlier[query.page]))]
        left = left[: query.k]
        columns.append(left)
        if query.page is not None:
            earlier.setdefault(query.page, []).append(rows[left])
    return columns


def rows_before(
    queries: Sequence[Query], lists: Recommendations, columns: Sequence[NDArray[np.int64]], e: int
) -> NDArray[np.int64]:
    """The items that the earlier rows of a query's page show."""
    of_page = [lists.rows_EK[i, columns[i]] for i in range(e) if queries[i].page == queries[e].page]
    return np.concatenate([np.zeros(0, np.int64), *of_page])


def with_list(lists: Recommendations, e: int, other: Recommendations) -> Recommendations:
    """The lists with that of query `e` replaced by the only one of `other`."""
    width = max(lists.rows_EK.shape[1], other.rows_EK.shape[1])

    def merged(whole_EK: NDArray[Any], one_K: NDArray[Any], fill: float) -> NDArray[Any]:
        wide = np.full((len(whole_EK), width), fill, whole_EK.dtype)
        wide[:, : whole_EK.shape[1]] = whole_EK
        wide[e] = fill
        wide[e, : len(one_K)] = one_K
        return wide

    return Recommendations(
        merged(lists.rows_EK, other.rows_EK[0], 0),
        merged(lists.scores_EK, other.scores_EK[0], -np.inf),
        merged(lists.found_EK, other.found_EK[0], -np.inf),
        merged(lists.source_EK, other.source_EK[0], EMPTY),
        merged(lists.found_by_EK, other.found_by_EK[0], 0),
        merged(lists.propensity_EK, other.propensity_EK[0], 0),
    )
