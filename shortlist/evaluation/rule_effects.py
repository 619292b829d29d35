"""What the rules of a recipe cost: quality, coverage, diversity, novelty and time with each of them on and off.

Shapes: Q queries, K listed items.
"""

from collections.abc import Mapping
from time import perf_counter
from typing import Any

from shortlist.dataset.prepared import Prepared
from shortlist.evaluation.tables import minus, num_available, system_result, tables
from shortlist.evaluation.variants import describe_variant
from shortlist.evaluation.whole_path import WholePath
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
        described[name] = describe_variant(rows_QK, path.recommender.retriever, store, num_items, seconds)._asdict()
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
