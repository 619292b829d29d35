"""What the labels of a recipe add to an evaluation: metrics by label, and the trade-off between the positives and each.

Shapes: Q queries, K listed items, O objectives, E queries of a batch, S points of a trade-off.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.dataset.prepared import EvaluationQueries, Prepared
from shortlist.dataset.queries import Targets
from shortlist.evaluation.tables import Values, minus, tables
from shortlist.evaluation.whole_path import WholePath
from shortlist.metrics.ranking import find_hits, ranking_metrics
from shortlist.recipe import Recipe
from shortlist.recipe.fields import POSITIVE
from shortlist.recommend.objective import combine, scores_of, weights_of
from shortlist.recommend.query import QueryBatch

_QUERIES = 2_000
_AT_ONCE = 256
_POINTS = 9
"""Of a trade-off: from all weight on the positives to all weight on the label."""


def evaluate_objectives(
    recipe: Recipe,
    prepared: Prepared,
    path: WholePath,
    queries: EvaluationQueries,
    lists: Mapping[str, NDArray[np.int64]],
    depths: Sequence[int],
) -> dict[str, Any] | None:
    """The `objectives` of evaluation.json; None for a recipe without labels.

    The metrics of a label are means over the queries that have a target of it. `lists` are those of each system.
    """
    labels = list(recipe.interactions.labels)
    if not labels:
        return None
    return {
        "weights": {name: recipe.ranking.objective.get(name, 0.0) for name in recipe.interactions.objectives},
        "labels": {name: _of_label(recipe, queries.targets(name), lists, depths) for name in labels},
        "tradeoffs": {} if path.ranker is None else _tradeoffs(recipe, prepared, path, labels),
    }


def _of_label(
    recipe: Recipe, targets: Targets, lists: Mapping[str, NDArray[np.int64]], depths: Sequence[int]
) -> dict[str, Any]:
    values = {system: _values(rows_QK, targets, depths) for system, rows_QK in lists.items()}
    queries = int(np.count_nonzero(targets.counts))
    return {"queries": queries, "targets": len(targets.items), "systems": tables(values, recipe) if queries else {}}


def _values(rows_QK: NDArray[np.int64], targets: Targets, depths: Sequence[int]) -> Values:
    """The metrics of the queries that have a target."""
    answered = np.flatnonzero(targets.counts)
    some = targets.take(answered)
    return ranking_metrics(find_hits(rows_QK[answered], some.offsets, some.items), some.counts, depths)


def _tradeoffs(recipe: Recipe, prepared: Prepared, path: WholePath, labels: Sequence[str]) -> dict[str, Any]:
    """Label -> the metrics at the depth of the gate while weight moves from the positives to the label."""
    queries = prepared.test.draw(_QUERIES, recipe.seed)
    depth, names = int(recipe.gate.metric.rpartition("_at_")[2]), recipe.interactions.objectives
    own = {name: recipe.ranking.objective.get(name, 0.0) for name in names}
    found = {}
    for label in labels:
        shares = np.linspace(0, 1, _POINTS).tolist()
        points = [{POSITIVE: 1 - share, label: share} for share in shares]
        weight_SO = np.stack([weights_of(one, names) for one in (*points, own)])
        lists = _lists(prepared, path, queries, depth, weight_SO)
        judged: dict[str, dict[str, Any]] = {}
        for name in (POSITIVE, label):
            values = {str(s): _values(rows_QK, queries.targets(name), [depth]) for s, rows_QK in enumerate(lists)}
            values["difference"] = minus(values[str(_POINTS - 1)], values["0"])
            judged[name] = tables(values, recipe) if queries.targets(name).counts.any() else {}
        metrics = {
            at: {name: one[at] for name, one in judged.items() if one}
            for at in (*map(str, range(len(lists))), "difference")
        }
        found[label] = {
            "queries": {name: int(np.count_nonzero(queries.targets(name).counts)) for name in judged},
            "k": depth,
            "points": [{"weights": one, "metrics": metrics[str(s)]} for s, one in enumerate(points)],
            "recipe": {"weights": own, "metrics": metrics[str(_POINTS)]},
            "difference": metrics["difference"],
        }
    return found


def _lists(
    prepared: Prepared, path: WholePath, queries: EvaluationQueries, k: int, weight_SO: NDArray[np.float32]
) -> list[NDArray[np.int64]]:
    """The item rows [Q, k] of the lists by each of the weights, from the same candidates, each scored once."""
    assert path.ranker is not None
    found: list[list[NDArray[np.int64]]] = [[] for _ in weight_SO]
    for start in range(0, len(queries), _AT_ONCE):
        part = queries.take(np.arange(start, min(start + _AT_ONCE, len(queries))))
        batch = QueryBatch(prepared.encode(part), part.time, prepared.histories(part))
        candidates = path.recommender.candidates(batch, np.full(len(part), k))
        request = candidates.request
        log_odds_OEK = None if request is None else path.ranker.log_odds(request)
        for lists, weight_O in zip(found, weight_SO, strict=True):
            scores_EK = None
            if request is not None and log_odds_OEK is not None:
                weight_EO = np.broadcast_to(weight_O, (len(request.user_E), len(weight_O)))
                scores_EK = scores_of(combine(log_odds_OEK, weight_EO), request.candidates_EK)
            lists.append(path.recommender.recommend(candidates, scores_EK).rows_EK)
    return [np.concatenate(lists) for lists in found]
