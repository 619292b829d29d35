"""What the rules of a recipe cost: quality, coverage, diversity, novelty and time with each of them on and off.

Shapes: Q queries, K listed items, D width of vectors.
"""

from collections.abc import Mapping
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.dataset.prepared import Prepared
from shortlist.evaluation.tables import minus, num_available, system_result, tables
from shortlist.evaluation.whole_path import WholePath
from shortlist.metrics.ranking import coverage
from shortlist.recipe import Recipe, Rules
from shortlist.recommend.rules import RuleBook

_QUERIES = 1_000


def rule_effects(recipe: Recipe, prepared: Prepared, path: WholePath, k: int) -> dict[str, Any] | None:
    """The lists of a sample of the test queries without rules, with each rule alone and with all; None without rules.

    The metrics count all targets, also those that a rule leaves out of the lists.
    """
    variants = _variants(recipe.rules)
    if not variants:
        return None
    queries = prepared.test.draw(_QUERIES, recipe.seed)
    store = prepared.store
    num_items = num_available(store, queries)
    values, described = {}, {}
    for name, rules in variants.items():
        start = perf_counter()
        one = RuleBook(store, rules).of(None)
        rows_QK = path.recommend_queries(prepared, queries, k, rules=one).ranked.rows_EK
        seconds = perf_counter() - start
        values[name] = system_result(rows_QK, queries, [k]).values
        described[name] = {
            "coverage": round(coverage(rows_QK, num_items, k), 6),
            "diversity": round(_diversity(path, rows_QK), 6),
            "novelty": round(_novelty(np.asarray(store.popularity), rows_QK), 6),
            "milliseconds": round(1e3 * seconds / max(len(queries), 1), 3),
        }
    differences = {f"{name} minus none": minus(one, values["none"]) for name, one in values.items() if name != "none"}
    found = tables(values | differences, recipe)
    return {
        "queries": len(queries),
        "k": k,
        "variants": {name: {**described[name], "metrics": found[name]} for name in variants},
        "differences": {name: found[f"{name} minus none"] for name in variants if name != "none"},
    }


def _variants(rules: Rules) -> dict[str, Rules]:
    """Variant -> its rules; empty where the recipe has no rules."""
    active = {name: value for name, value in rules if value != Rules.model_fields[name].get_default()}
    if not active:
        return {}
    alone: Mapping[str, Rules] = {name: Rules.model_validate({name: value}) for name, value in active.items()}
    return {"none": Rules(), **(alone if len(alone) > 1 else {}), "all": rules}


def _diversity(path: WholePath, rows_QK: NDArray[np.int64]) -> float:
    """1 minus the mean cosine similarity of two items of a list, by the vectors of the candidate tower."""
    distances = []
    for rows in rows_QK:
        unit_KD = path.recommender.retriever.unit_vectors(rows[rows > 0])
        count = len(unit_KD)
        if count > 1:
            similarity = (float(np.square(unit_KD.sum(axis=0)).sum()) - count) / (count * (count - 1))
            distances.append(1 - similarity)
    return float(np.mean(distances)) if distances else 0.0


def _novelty(popularity_N: NDArray[np.int64], rows_QK: NDArray[np.int64]) -> float:
    """Mean self-information of the listed items in bits, -log2 of an item's share of the train positives, with one
    more positive for each item (Castells, Vargas and Wang 2011)."""
    share_N = (popularity_N + 1) / (popularity_N.sum() + len(popularity_N))
    rows = rows_QK[rows_QK > 0]
    return float(-np.log2(share_N[rows]).mean()) if len(rows) else 0.0
