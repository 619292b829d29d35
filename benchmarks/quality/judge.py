"""The one judge: lists of item rows to one value a query and metric, for ours and for the peers alike.

Ties are broken by who ranks: a model with equal scores puts the lower item row first (`best`). Shapes: Q queries,
K ranked items, N item rows.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.rows import Ints, Rows
from shortlist.metrics.ranking import find_hits, ranking_metrics
from shortlist.progress import Progress

Values = dict[str, NDArray[np.float64]]
"""Metric like recall@20 -> one value a query, [Q]."""
Rank = Callable[[NDArray[np.int64], int], dict[str, Ints]]
"""(positions of queries [B], k) -> system -> its k best item rows of each, [B, k]; 0 where it has no more."""

_FLOATS = 8_000_000  # scores or ranks of one block: 64 MB


def judge(rows: Rows, rank: Rank, metrics: list[str]) -> dict[str, Values]:
    """System -> its values for every query."""
    depths = {metric: _depth(metric, rows) for metric in metrics}
    sampled = rows.candidates_QC
    k = max(depths.values()) if sampled is None else rows.num_items - 1
    step = max(1, min(1024, _FLOATS // rows.num_items))
    found: dict[str, list[Values]] = {}
    progress = Progress(f"judge: {rows.part} queries", len(rows))
    for first in range(0, len(rows), step):
        at = np.arange(first, min(first + step, len(rows)))
        for system, rows_QK in rank(at, k).items():
            lists = rows_QK if sampled is None else keep_candidates(rows_QK, sampled[at])
            found.setdefault(system, []).append(_values(lists, rows, at, depths))
        progress.advance(len(at))
    return {
        system: {metric: np.concatenate([block[metric] for block in blocks]) for metric in metrics}
        for system, blocks in found.items()
    }


def _depth(metric: str, rows: Rows) -> int:
    _, _, depth = metric.partition("@")
    if depth:
        return int(depth)
    return rows.num_items - 1 if rows.candidates_QC is None else rows.candidates_QC.shape[1]


def _values(rows_QK: Ints, rows: Rows, at: Ints, depths: dict[str, int]) -> Values:
    lengths = np.diff(rows.target_offsets)[at]
    offsets = np.append(0, np.cumsum(lengths))
    targets = np.concatenate([rows.target_items[rows.target_offsets[q] : rows.target_offsets[q + 1]] for q in at])
    measured = ranking_metrics(find_hits(rows_QK, offsets, targets), lengths, sorted(set(depths.values())))
    return {metric: measured[f"{metric.partition('@')[0]}_at_{depth}"] for metric, depth in depths.items()}


def keep_candidates(rows_QK: Ints, candidates_QC: Ints) -> Ints:
    """The candidates of each list in its order, [Q, C]; those that it does not hold are left out, 0 fills up."""
    kept = np.zeros_like(candidates_QC)
    for q, (ranked, candidates) in enumerate(zip(rows_QK, candidates_QC, strict=True)):
        inside = ranked[np.isin(ranked, candidates[candidates > 0])]
        kept[q, : len(inside)] = inside
    return kept


def best(scores_QN: NDArray[np.floating[Any]], k: int) -> Ints:
    """The k item rows with the highest scores, [Q, k], of equal scores the lower row; 0 where a score is -inf.

    `scores_QN` is written to: row 0 is no item.
    """
    scores_QN[:, 0] = -np.inf
    k = min(k, scores_QN.shape[1])
    least_Q = np.partition(scores_QN, -k, axis=1)[:, -k]
    width = int((scores_QN >= least_Q[:, None]).sum(axis=1).max())
    reach = np.sort(np.argpartition(-scores_QN, width - 1, axis=1)[:, :width], axis=1)
    reached = np.take_along_axis(scores_QN, reach, axis=1)
    order = np.argsort(-reached, axis=1, kind="stable")[:, :k]
    rows = np.take_along_axis(reach, order, axis=1)
    return np.where(np.take_along_axis(reached, order, axis=1) > -np.inf, rows, 0)
