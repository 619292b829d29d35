"""From recommendations to hits, metrics per query, and means with intervals.

Shapes: Q queries, K ranked items.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shortlist.dataset.prepared import EvaluationQueries
from shortlist.features import FeatureStore
from shortlist.metrics.bootstrap import intervals
from shortlist.metrics.ranking import find_hits, ranking_metrics
from shortlist.recipe import Recipe

Values = dict[str, NDArray[np.float64]]
"""Metric -> one value per query, [Q]."""


@dataclass(frozen=True)
class SystemResult:
    """The recommendations of one system for all queries, with its hits and metrics."""

    rows_QK: NDArray[np.int64]
    hits_QK: NDArray[np.bool_]
    values: Values


def system_result(rows_QK: NDArray[np.int64], queries: EvaluationQueries, depths: Sequence[int]) -> SystemResult:
    """The hits and metrics of the recommendations of one system, [Q, K] item rows."""
    hits = find_hits(rows_QK, queries.target_offsets, queries.target_items)
    return SystemResult(rows_QK, hits, ranking_metrics(hits, np.diff(queries.target_offsets), depths))


def num_available(store: FeatureStore, queries: EvaluationQueries) -> int:
    """Items that are available at some time of the queries."""
    return int(store.available.within(int(queries.time.min()), int(queries.time.max())).sum())


def minus(one: Values, other: Values) -> Values:
    """The paired differences per query."""
    return {name: one[name] - other[name] for name in one}


def tables(systems: Mapping[str, Values], recipe: Recipe) -> dict[str, dict[str, dict[str, float]]]:
    """System -> metric -> mean, low and high, all from the same bootstrap resamples."""
    names = [(system, metric) for system, values in systems.items() for metric in values]
    columns = np.stack([systems[system][metric] for system, metric in names], axis=1)
    found = intervals(
        columns, resamples=recipe.evaluation.bootstrap, confidence=recipe.gate.confidence, seed=recipe.seed
    )
    result: dict[str, dict[str, dict[str, float]]] = {system: {} for system in systems}
    for (system, metric), mean, low, high in zip(names, *(values.tolist() for values in found), strict=True):
        result[system][metric] = {"mean": round(mean, 6), "low": round(low, 6), "high": round(high, 6)}
    return result
