"""The metrics of the systems for known and new users, and for head and tail items."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.dataset.prepared import EvaluationQueries, Prepared
from shortlist.evaluation.tables import SystemResult, tables
from shortlist.metrics.ranking import ranking_metrics
from shortlist.recipe import Recipe


def slices_of(
    recipe: Recipe,
    prepared: Prepared,
    queries: EvaluationQueries,
    systems: Mapping[str, SystemResult],
    depths: Sequence[int],
) -> dict[str, Any]:
    """Metrics of users with and without a train positive, and of targets among head and tail items.

    The head is the set of the most popular items that together make up half of the train positives. In an item slice,
    only targets of that slice are counted, and only queries that have at least one.
    """
    samples = prepared.samples
    trained = np.zeros(prepared.store.schema.num_user_rows, bool)
    trained[samples.user[np.flatnonzero((samples.part == 1) & samples.label)]] = True
    known_Q = trained[queries.user]
    slices: dict[str, Any] = {}
    for name, of_Q in (("known_users", known_Q), ("new_users", ~known_Q)):
        values = {s: {metric: v[of_Q] for metric, v in one.values.items()} for s, one in systems.items()}
        slices[name] = {"queries": int(of_Q.sum()), "systems": tables(values, recipe)}
    head_N = _head(np.asarray(prepared.store.popularity))
    query_of = np.repeat(np.arange(len(queries)), np.diff(queries.target_offsets))
    for name, of_N in (("head_items", head_N), ("tail_items", ~head_N)):
        in_slice = of_N[queries.target_items]
        num_targets = np.bincount(query_of[in_slice], minlength=len(queries))
        counted = num_targets > 0
        values = {
            s: ranking_metrics((one.hits_QK & of_N[one.rows_QK])[counted], num_targets[counted], depths)
            for s, one in systems.items()
        }
        slices[name] = {"queries": int(counted.sum()), "systems": tables(values, recipe)}
    return slices


def _head(counts_N: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which item rows, from the most popular on, make up the first half of the train positives."""
    order = np.argsort(-counts_N, kind="stable")
    before = np.cumsum(counts_N[order]) - counts_N[order]
    head = np.zeros(len(counts_N), bool)
    head[order[before < counts_N.sum() / 2]] = True
    return head
