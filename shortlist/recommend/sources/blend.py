"""One list of candidates from the lists of several sources.

Shapes: A queries, S sources, K candidates of each source, M = S * K entries of a query, G unique (query, item) pairs.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shortlist.recommend.sources import Found

_RANK_OFFSET = 60
"""The constant of reciprocal rank fusion (Cormack, Clarke and Buettcher 2009)."""

Blend = Literal["quotas", "reciprocal_rank"]


def blend_lists(
    rows_ASK: NDArray[np.int64],
    scores_ASK: NDArray[np.float32],
    weight_S: NDArray[np.float64],
    blend: Blend,
    depth_A: NDArray[np.int64],
) -> Found:
    """The first `depth_A` unique items of each query.

    `quotas` places the item of rank r (from 0) of a source with share w at (r + 0.5) / w and orders the items by their
    smallest place, so that the first n items hold about w * n of each source, and the other sources fill what a source
    cannot. `reciprocal_rank` orders them by the sum of w / (61 + r). The scores of the result are 1 / (1 + place), and
    the sum; equal ones are ordered by source, then by rank.
    """
    num_queries, num_sources, width = rows_ASK.shape
    share_S = weight_S / weight_S.sum()
    rank_K = np.arange(width)
    if blend == "quotas":
        value_SK = 1 / (1 + (rank_K + 0.5) / share_S[:, None])
    else:
        value_SK = share_S[:, None] / (_RANK_OFFSET + 1 + rank_K)
    at = np.flatnonzero(rows_ASK > 0)
    query, source, rank = np.unravel_index(at, rows_ASK.shape)
    row, value = rows_ASK.ravel()[at], value_SK[source, rank]
    key = query * (int(row.max(initial=0)) + 1) + row
    order = np.lexsort((source, -value, key))
    key, query, row, source, value = (column[order] for column in (key, query, row, source, value))
    score = scores_ASK.ravel()[at][order]
    is_first = np.diff(key, prepend=-1) != 0
    first_G = np.flatnonzero(is_first)
    total_G = value[first_G] if blend == "quotas" or not len(first_G) else np.add.reduceat(value, first_G)
    query_G, row_G, lead_G = query[first_G], row[first_G], source[first_G]
    group = np.cumsum(is_first) - 1
    member_GS = np.full((len(first_G), num_sources), -np.inf, np.float32)
    member_GS[group, source] = score

    order_G = np.lexsort((rank[order][first_G], lead_G, -total_G, query_G))
    query_G = query_G[order_G]
    place_G = np.arange(len(query_G)) - np.searchsorted(query_G, query_G)
    kept = place_G < depth_A[query_G]
    order_G, query_G, place_G = order_G[kept], query_G[kept], place_G[kept]
    shape = num_queries, int(depth_A.max(initial=0))
    found = Found(
        np.zeros(shape, np.int64),
        np.full(shape, -np.inf, np.float32),
        lead_AK=np.zeros(shape, np.int8),
        members_AKS=np.full((*shape, num_sources), -np.inf, np.float32),
    )
    assert found.lead_AK is not None
    assert found.members_AKS is not None
    found.rows_AK[query_G, place_G], found.scores_AK[query_G, place_G] = row_G[order_G], total_G[order_G]
    found.lead_AK[query_G, place_G], found.members_AKS[query_G, place_G] = lead_G[order_G], member_GS[order_G]
    return found
