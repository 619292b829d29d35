"""What each candidate source contributes: its candidates alone, and its share of the lists and of their hits.

Shapes: Q queries, K candidates or listed items.
"""

from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.dataset.prepared import EvaluationQueries, Prepared
from shortlist.evaluation.tables import minus, num_available, system_result, tables
from shortlist.evaluation.variants import describe_variant
from shortlist.evaluation.whole_path import WholePath, joined
from shortlist.metrics.ranking import find_hits
from shortlist.recipe import Recipe
from shortlist.recommend.lists import Recommendations
from shortlist.recommend.query import QueryBatch

_QUERIES = 1_000
_AT_ONCE = 256
CANDIDATE_RECALL = "candidate_recall"


@dataclass(frozen=True)
class _Lists:
    recommendations: Recommendations
    candidate_recall_Q: NDArray[np.float64]
    seconds: float


def source_effects(recipe: Recipe, prepared: Prepared, path: WholePath, k: int) -> dict[str, Any] | None:
    """The lists of a sample of the test queries by each source alone and by all together, and by all without one.

    None for a recipe whose candidates come from the towers alone. A source alone fills no list from others, so its
    lists may be short. The differences are to the first source of the recipe, usually the towers.
    """
    if recipe.candidates.by_towers_alone:
        return None
    queries = prepared.test.draw(_QUERIES, recipe.seed)
    num_items = num_available(prepared.store, queries)
    names = [one.label for one in recipe.candidates.sources]
    variants: dict[str, frozenset[str] | None] = {name: frozenset([name]) for name in names}
    if len(names) > 2:  # with two sources, one without the other is the other alone
        variants |= {f"without {name}": frozenset(names) - {name} for name in names}
    variants["all"] = None
    values, described, shares = {}, {}, {}
    for name, selected in variants.items():
        lists = _lists(prepared, path, queries, k, selected)
        rows_QK = lists.recommendations.rows_EK
        result = system_result(rows_QK, queries, [k])
        values[name] = result.values | {CANDIDATE_RECALL: lists.candidate_recall_Q}
        described[name] = describe_variant(
            rows_QK, path.recommender.retriever, prepared.store, num_items, lists.seconds
        )._asdict()
        if selected is None:
            shares = _shares(lists.recommendations, result.hits_QK, path.recommender.source_names)
    differences = {f"{name} minus": minus(one, values[names[0]]) for name, one in values.items() if name != names[0]}
    found = tables(values | differences, recipe)
    return {
        "queries": len(queries),
        "k": k,
        "candidates": recipe.ranking.candidates,
        "reference": names[0],
        "variants": {name: {**described[name], "metrics": found[name]} for name in variants},
        "differences": {name: found[f"{name} minus"] for name in variants if name != names[0]},
        "shares": shares,
    }


def _lists(
    prepared: Prepared, path: WholePath, queries: EvaluationQueries, k: int, selected: frozenset[str] | None
) -> _Lists:
    parts: list[Recommendations] = []
    hits_Q, seconds = np.zeros(len(queries)), 0.0
    for start in range(0, len(queries), _AT_ONCE):
        part = queries.take(np.arange(start, min(start + _AT_ONCE, len(queries))))
        sources = () if selected is None else [selected] * len(part)
        batch = QueryBatch(prepared.encode(part), part.time, prepared.histories(part), sources=sources)
        begun = perf_counter()
        found = path.recommender.candidates(batch, np.full(len(part), k))
        scores = None if path.ranker is None or found.request is None else path.ranker.score(found.request)
        parts.append(path.recommender.recommend(found, scores))
        seconds += perf_counter() - begun
        for one in found.parts:
            hits_AK = find_hits(one.found.rows_AK, *_targets(part, one.at_A))
            hits_Q[start + one.at_A] += hits_AK.sum(axis=1)
    recall_Q = hits_Q / np.maximum(np.diff(queries.target_offsets), 1)
    return _Lists(joined(parts), recall_Q, seconds)


def _targets(queries: EvaluationQueries, at_A: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    some = queries.take(at_A)
    return some.target_offsets, some.target_items


def _shares(lists: Recommendations, hits_QK: NDArray[np.bool_], names: list[str]) -> dict[str, dict[str, float]]:
    """Of each source, the share of the listed items and of the hits that it found, and of the hits that no other
    source found."""
    listed_QK = lists.rows_EK > 0
    num_items, num_hits = max(int(listed_QK.sum()), 1), max(int(hits_QK.sum()), 1)
    bits = {name: sum(1 << i for i, one in enumerate(names) if one == name) for name in dict.fromkeys(names)}
    found = {}
    for name, bit in bits.items():
        by_QK = (lists.found_by_EK & bit) > 0
        only_QK = by_QK & ((lists.found_by_EK & ~bit) == 0)
        if by_QK.any():
            found[name] = {
                "items": round(int((by_QK & listed_QK).sum()) / num_items, 6),
                "hits": round(int((by_QK & hits_QK).sum()) / num_hits, 6),
                "hits_of_it_alone": round(int((only_QK & hits_QK).sum()) / num_hits, 6),
            }
    return found
