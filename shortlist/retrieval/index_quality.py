"""Measures the recall of an index against exact search, and its speed.

Shapes: Q queries, N items, D vector dim, k results.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import faiss
import numpy as np
from numpy.typing import NDArray

from shortlist.progress import Progress

_TIMED_QUERIES = 200
_BLOCK = 256
_NPROBES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_AUTO_RECALL = 0.99
"""The recall@100 that `nprobe: auto` wants."""
_AUTO_TOLERANCE = 0.005
"""What it gives up of the best recall if the codes of the index do not allow more."""


@dataclass(frozen=True)
class Point:
    """Recall and speed of one setting."""

    nprobe: int
    """0 if the index has no inverted lists."""
    recall_at_10: float
    recall_at_100: float
    queries_per_second: float
    """One query at a time on one thread, for 100 results, as in serving."""


def measure_index(
    index: Any, vectors_ND: NDArray[np.float32], query_QD: NDArray[np.float32], also: Sequence[int] = ()
) -> list[Point]:
    """Recall and speed of an index for several `nprobe` and those of `also`, ascending; one point without lists.

    Afterwards the index has the last of them.

    Recall@k is the share of k results whose exact score is at least the k-th best exact score, so that items with
    equal vectors are interchangeable; k is at most N.
    """
    depth = min(100, index.ntotal)
    best_QK = exact_scores(vectors_ND, query_QD, depth)
    inverted = faiss.try_extract_index_ivf(index)
    probes = sorted({min(n, inverted.nlist) for n in (*_NPROBES, *also)}) if inverted is not None else [0]
    progress = Progress("index: recall and speed", len(probes))
    points = []
    for num_probes in probes:
        if inverted is not None:
            inverted.nprobe = num_probes
        _, positions_QK = index.search(query_QD, depth)
        at_10, at_100 = recall_of(positions_QK, vectors_ND, query_QD, best_QK)
        points.append(Point(num_probes, at_10, at_100, single_speed(index, query_QD, depth)))
        progress.advance(recall_at_100=at_100)
    return points


def choose_point(points: Sequence[Point], nprobe: int | Literal["auto"]) -> Point:
    """The point of a recipe's `nprobe`, of those that `measure_index` measured with it."""
    if nprobe != "auto":
        return next((point for point in points if point.nprobe >= nprobe), points[-1])
    best = max(point.recall_at_100 for point in points)
    enough = min(_AUTO_RECALL, best - _AUTO_TOLERANCE)
    return next(point for point in points if point.recall_at_100 >= enough)


def recall_of(
    positions_QK: NDArray[np.int64],
    vectors_ND: NDArray[np.float32],
    query_QD: NDArray[np.float32],
    best_QK: NDArray[np.float32],
) -> tuple[float, float]:
    """Recall@10 and @100 of found positions, -1 where there is none, against the best exact scores."""
    scores_QK = np.full(positions_QK.shape, -np.inf, np.float32)
    for start in range(0, len(query_QD), _BLOCK):
        part = slice(start, start + _BLOCK)
        found = np.asarray(vectors_ND[positions_QK[part]])
        scores_QK[part] = np.einsum("qkd,qd->qk", found, query_QD[part])
    scores_QK[positions_QK < 0] = -np.inf
    depth = best_QK.shape[1]
    return _recall(scores_QK, best_QK, min(10, depth)), _recall(scores_QK, best_QK, min(100, depth))


def _recall(scores_QK: NDArray[np.float32], best_QK: NDArray[np.float32], k: int) -> float:
    reached = scores_QK[:, :k] >= best_QK[:, k - 1 : k] - 1e-5 * np.abs(best_QK[:, k - 1 : k])
    return round(float(reached.mean()), 6)


def exact_scores(vectors_ND: NDArray[np.float32], query_QD: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """The k best inner products of every query, best first, [Q, k]; the vectors are read in blocks."""
    best = np.full((len(query_QD), 0), -np.inf, np.float32)
    for start in range(0, len(vectors_ND), 1 << 18):
        part = np.ascontiguousarray(vectors_ND[start : start + (1 << 18)])
        scores, _ = faiss.knn(query_QD, part, min(k, len(part)), metric=faiss.METRIC_INNER_PRODUCT)
        best = -np.sort(-np.concatenate([best, scores], axis=1), axis=1)[:, :k]
    return best


def single_speed(index: Any, query_QD: NDArray[np.float32], k: int) -> float:
    """Queries a second on one thread, one query at a time."""
    timed_QD = query_QD[:_TIMED_QUERIES]
    return _per_second(index, [timed_QD[e : e + 1] for e in range(len(timed_QD))], k)


def batch_speed(index: Any, query_QD: NDArray[np.float32], k: int) -> float:
    """Queries a second on one thread, all in one call."""
    return _per_second(index, [query_QD], k)


def _per_second(index: Any, batches: list[NDArray[np.float32]], k: int) -> float:
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    start = time.perf_counter()
    for batch in batches:
        index.search(batch, k)
    seconds = time.perf_counter() - start
    faiss.omp_set_num_threads(threads)
    return round(sum(len(batch) for batch in batches) / seconds, 1)
