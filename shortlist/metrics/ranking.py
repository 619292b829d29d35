"""Metrics of ranked lists, computed for all queries at once.

Shapes: Q queries, K ranked items each, best first; T_q is the set of targets of query q. Item row 0 is padding and
never a hit. With h_i = 1 when the item at rank i (from 1) is a target:

    recall@k    sum_{i<=k} h_i / |T|
    hit_rate@k  1 when any h_i of i <= k is 1
    mrr@k       1 / i of the first hit with i <= k, else 0
    ndcg@k      sum_{i<=k} h_i / log2(i + 1), divided by the same sum for a list that starts with min(k, |T|) hits
    map@k       sum_{i<=k} h_i (sum_{j<=i} h_j / i) / min(k, |T|)

ndcg: Järvelin and Kekäläinen 2002, with binary gains; map: average precision at k, Manning et al. 2008, 8.4.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def find_hits(
    rows_QK: NDArray[np.integer], target_offsets: NDArray[np.int64], target_items: NDArray[np.integer]
) -> NDArray[np.bool_]:
    """Which ranked items are targets, [Q, K]; the targets of query q are `items[offsets[q]:offsets[q + 1]]`."""
    if rows_QK.size == 0 or len(target_items) == 0:
        return np.zeros(rows_QK.shape, bool)
    width = int(max(rows_QK.max(), target_items.max())) + 1
    query = np.repeat(np.arange(len(rows_QK)), np.diff(target_offsets))
    keys = np.sort(query * width + target_items)
    wanted = np.arange(len(rows_QK))[:, None] * width + rows_QK
    found: NDArray[np.bool_] = keys[np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)] == wanted
    return found & (rows_QK > 0)


def ranking_metrics(
    hits_QK: NDArray[np.bool_], num_targets_Q: NDArray[np.integer], depths: Sequence[int]
) -> dict[str, NDArray[np.float64]]:
    """`<metric>_at_<k>` -> [Q] for every metric and depth; a list shorter than k has no hits after its end.

    A query without targets has 0 everywhere.
    """
    count, width = hits_QK.shape
    hits = hits_QK.astype(np.float64)
    rank = np.arange(1, width + 1)
    hits_so_far = np.cumsum(hits, axis=1)
    gain_so_far = np.cumsum(hits / np.log2(rank + 1), axis=1)
    precision_so_far = np.cumsum(hits * hits_so_far / rank, axis=1)
    first = np.where(hits_QK.any(axis=1), hits_QK.argmax(axis=1) + 1 if width else 0, np.iinfo(np.int64).max)
    targets = np.maximum(num_targets_Q, 1)
    ideal = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(1, max(depths) + 1) + 1))])
    out: dict[str, NDArray[np.float64]] = {}
    for k in depths:
        at = min(k, width) - 1
        found, gain, precision = (
            sums[:, at] if at >= 0 else np.zeros(count) for sums in (hits_so_far, gain_so_far, precision_so_far)
        )
        reachable = np.minimum(k, targets)
        out[f"recall_at_{k}"] = found / targets
        out[f"ndcg_at_{k}"] = gain / ideal[reachable]
        out[f"hit_rate_at_{k}"] = (found > 0).astype(np.float64)
        out[f"mrr_at_{k}"] = np.where(first <= k, 1 / first, 0.0)
        out[f"map_at_{k}"] = precision / reachable
    return out


def coverage(rows_QK: NDArray[np.integer], num_items: int, k: int) -> float:
    """The share of the catalogue that appears among the first k items of at least one list."""
    shown = np.zeros(max(num_items, int(rows_QK.max(initial=0))) + 1, bool)
    shown[rows_QK[:, :k]] = True
    return float(shown[1:].sum() / max(num_items, 1))
