"""Metrics against sampled negatives: one target of each query among `evaluation.negatives` items drawn at random.

Many published figures are of this kind. They are far higher than those over the whole catalogue and can order systems
differently (Krichene and Rendle 2020, "On sampled metrics for item recommendation"), so no gate reads them.

Shapes: Q queries, N drawn items each.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.dataset.prepared import EvaluationQueries, Prepared
from shortlist.evaluation.tables import Values, minus, system_result, tables
from shortlist.evaluation.whole_path import WholePath
from shortlist.features import FeatureStore
from shortlist.features.item_mask import ItemMask
from shortlist.progress import Progress
from shortlist.recipe import Recipe
from shortlist.recommend.query import QueryBatch
from shortlist.recommend.rules import Rules

_AT_ONCE = 64
"""Queries that are answered together: each has a mask over the catalogue."""
_DEPTHS = (1, 5, 10)


def evaluate_sampled(
    recipe: Recipe, prepared: Prepared, path: WholePath, queries: EvaluationQueries
) -> dict[str, Any] | None:
    """The metrics of the whole path, of retrieval alone and of popularity; None if the recipe does not ask for them.

    One target of each query is drawn, and `evaluation.negatives` items that are available at its time and neither in
    the history nor among the targets. Each system orders these 1 + N items, without the rules of the recipe; an item
    that a system cannot list, such as an untrained one, comes after all others.
    """
    count = recipe.evaluation.negatives
    if count is None:
        return None
    rng = np.random.default_rng(recipe.seed)
    queries, histories, listed_QN = draw_sampled(prepared, queries, count, rng)
    lists = _path_lists(prepared, path, queries, histories, listed_QN)
    lists["popularity"] = _by_popularity(prepared.store, listed_QN, rng)
    depths = sorted({*(k for k in _DEPTHS if k <= count), count + 1})
    values: dict[str, Values] = {name: system_result(rows, queries, depths).values for name, rows in lists.items()}
    differences = {f"path_minus_{name}": minus(values["path"], values[name]) for name in values if name != "path"}
    found = tables(values | differences, recipe)
    return {
        "queries": len(queries),
        "negatives": count,
        "k": depths,
        "systems": {name: found[name] for name in values},
        "differences": {name: found[name] for name in differences},
    }


def draw_sampled(
    prepared: Prepared, queries: EvaluationQueries, count: int, rng: np.random.Generator
) -> tuple[EvaluationQueries, Sequence[NDArray[Any]], NDArray[np.int64]]:
    """The queries that have a target, with one of their targets each; their histories; and the rows that a system
    orders, [Q, 1 + N]: the target first, 0 is padding."""
    queries = queries.take(np.flatnonzero(np.diff(queries.target_offsets)))
    histories = prepared.histories(queries)
    negatives_QN = _draw_negatives(prepared.store, queries, histories, count, rng)
    queries = _with_one_target(queries, rng)
    return queries, histories, np.concatenate([queries.target_items[:, None], negatives_QN], axis=1)


def _with_one_target(queries: EvaluationQueries, rng: np.random.Generator) -> EvaluationQueries:
    """The queries with one of their targets each."""
    drawn = queries.target_offsets[:-1] + rng.integers(np.diff(queries.target_offsets))
    return replace(queries, target_offsets=np.arange(len(queries) + 1), target_items=queries.target_items[drawn])


def _draw_negatives(
    store: FeatureStore,
    queries: EvaluationQueries,
    histories: Sequence[NDArray[Any]],
    count: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """`count` different items of each query, [Q, N]; 0 is padding where fewer can be drawn."""
    rows_QN = np.zeros((len(queries), count), np.int64)
    for q, (history, time) in enumerate(zip(histories, queries.time.tolist(), strict=True)):
        targets = queries.target_items[queries.target_offsets[q] : queries.target_offsets[q + 1]]
        own = np.concatenate([history, targets])
        found = _allowed(rng.integers(1, store.schema.num_item_rows, 3 * count), own, store, time)
        if len(found) < count:  # a small catalogue, or one that is mostly unavailable
            found = rng.permutation(_allowed(np.arange(1, store.schema.num_item_rows), own, store, time))
        rows_QN[q, : len(found[:count])] = found[:count]
    return rows_QN


def _allowed(rows: NDArray[np.int64], own: NDArray[Any], store: FeatureStore, time: int) -> NDArray[np.int64]:
    """The available rows that are not the user's own, each once, in their order."""
    rows = rows[store.available.among(rows, time) & ~np.isin(rows, own)]
    return rows[np.sort(np.unique(rows, return_index=True)[1])]


def _path_lists(
    prepared: Prepared,
    path: WholePath,
    queries: EvaluationQueries,
    histories: Sequence[NDArray[Any]],
    listed_QN: NDArray[np.int64],
) -> dict[str, NDArray[np.int64]]:
    """The order of the items by the whole path and by retrieval alone: the queries are for these items only."""
    num_rows, width = prepared.store.schema.num_item_rows, listed_QN.shape[1]
    found: dict[str, list[NDArray[np.int64]]] = {"path": [], "retrieval": []}
    progress = Progress("evaluate: sampled negatives", len(queries))
    for start in range(0, len(queries), _AT_ONCE):
        part = queries.take(np.arange(start, min(start + _AT_ONCE, len(queries))))
        masks_EN = np.zeros((len(part), num_rows), np.bool_)
        np.put_along_axis(masks_EN, listed_QN[start : start + len(part)], True, axis=1)
        masks_EN[:, 0] = False
        rules = [Rules(mask=ItemMask(mask_N)) for mask_N in masks_EN]
        seen = histories[start : start + len(part)]
        both = path.recommend(QueryBatch(prepared.encode(part), part.time, seen, rules=rules), width)
        found["path"].append(both.ranked.rows_EK)
        found["retrieval"].append(both.retrieved.rows_EK)
        progress.advance(len(part))
    return {name: np.concatenate(blocks) for name, blocks in found.items()}


def _by_popularity(store: FeatureStore, listed_QN: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """The items from popular to rare; equally popular ones in random order, so that the target has no advantage."""
    popular_QN = np.where(listed_QN > 0, np.asarray(store.popular)[listed_QN], -np.inf)
    return np.take_along_axis(listed_QN, np.lexsort((rng.random(listed_QN.shape), -popular_QN), axis=1), axis=1)
