"""Evaluates what will be served: the exported tower, the index and the ranker on every test query.

Retrieval alone, popularity, item-kNN and the live release are evaluated on the same queries and over the full
catalogue. Shapes: Q queries, K ranked items, N item rows.

    evaluation/evaluation.json   means with paired bootstrap intervals
    evaluation/rows.npz          `<system>/<metric>_at_<k>` -> float32 [Q], and `user`, the row of each query's user
"""

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from shortlist.dataset.prepared import EvaluationQueries, Prepared
from shortlist.evaluation.baselines import BuyAgain, ItemKNN
from shortlist.evaluation.lists import ItemMarks, Ranked, describe_lists, sample_users
from shortlist.evaluation.live_recommendations import live_recommendations
from shortlist.evaluation.objectives import evaluate_objectives
from shortlist.evaluation.repeats import evaluate_repeats
from shortlist.evaluation.rule_effects import rule_effects
from shortlist.evaluation.sampled import evaluate_sampled
from shortlist.evaluation.slices import slices_of
from shortlist.evaluation.source_effects import source_effects
from shortlist.evaluation.tables import minus, num_available, system_result, tables
from shortlist.evaluation.whole_path import PathRecommendations, WholePath
from shortlist.metrics.ranking import coverage
from shortlist.progress import say
from shortlist.recipe import Recipe
from shortlist.recommend.sources.popularity import Popularity
from shortlist.recommend.trace import Trace
from shortlist.step_result import StepResult

_KNN_HISTORIES = (10, 50, 200)  # the history lengths that item-kNN is tuned over
_KNN_QUERIES = 2_000  # validation queries for that tuning


def evaluate(
    recipe: Recipe,
    prepared: Prepared,
    retrieval_folder: Path,
    index_folder: Path,
    ranking_folder: Path | None,
    live_release_folder: Path | None,
    out: Path,
) -> StepResult:
    """Evaluate all systems on the test queries and write evaluation.json and rows.npz.

    `live_release_folder` is named after its release; a live release that cannot be loaded is skipped, with the reason.
    Raises ValueError when there is no test query, or when the artifacts do not belong together.
    """
    store, depths = prepared.store, sorted(set(recipe.evaluation.k))
    queries = prepared.test.draw(recipe.evaluation.max_queries, recipe.seed)
    if not len(queries):
        raise ValueError(
            "evaluate: there is no test query: no user has a new positive in the test window; "
            "make split.test longer, or set evaluation.mask_seen to false if users return to the same items"
        )
    threads = faiss.omp_get_max_threads()
    ranking = ranking_folder if recipe.ranking.enabled else None
    path = WholePath.open(recipe, store, retrieval_folder, index_folder, ranking, threads=threads)
    num_items = num_available(store, queries)
    say(f"evaluate: {len(queries)} queries over {num_items} items")
    seen = _seen(recipe, prepared.histories(queries))
    trace = Trace()
    ours = path.recommend_queries(prepared, queries, depths[-1], label="evaluate: whole path", trace=trace)
    for line in trace.lines():
        say(f"evaluate: {line}")
    lists = {"path": ours.ranked.rows_EK, "retrieval": ours.retrieved.rows_EK}
    lists |= _baseline_lists(recipe, prepared, queries, depths[-1], seen)
    live: dict[str, Any] | None = None
    if live_release_folder is not None:
        live = {"release": live_release_folder.name, "metrics": {}, "difference": {}, "skipped": None}
        try:
            lists["live"] = live_recommendations(live_release_folder, prepared, queries, depths[-1], seen, threads)
        except Exception as error:  # noqa: BLE001 -- a broken live release must not stop this one
            live["skipped"] = f"{type(error).__name__}: {error}"
            say(f"warning: the live release {live['release']} is not compared: {live['skipped']}")

    systems = {system: system_result(rows_QK, queries, depths) for system, rows_QK in lists.items()}
    others = [system for system in systems if system != "path"]
    differences = {f"path_minus_{system}": minus(systems["path"].values, systems[system].values) for system in others}
    if path.ranker is not None:  # the gate may publish the release without its ranker
        alone = systems["retrieval"].values
        rest = [system for system in others if system != "retrieval"]
        differences |= {f"retrieval_minus_{system}": minus(alone, systems[system].values) for system in rest}
    found = tables({system: one.values for system, one in systems.items()} | differences, recipe)
    if live is not None and "live" in systems:
        live |= {"metrics": found.pop("live"), "difference": found.pop("path_minus_live")}
        live |= {"difference_of_retrieval": found.pop("retrieval_minus_live", live["difference"])}
        systems.pop("live")
    evaluation = {
        "queries": len(queries),
        "unknowable_targets": prepared.unknowable("test").as_dict(),
        "k": depths,
        "confidence": recipe.gate.confidence,
        "systems": {system: found[system] for system in systems},
        "coverage": {
            system: {str(k): round(coverage(one.rows_QK, num_items, k), 6) for k in depths}
            for system, one in systems.items()
        },
        "slices": slices_of(recipe, prepared, queries, systems, depths),
        "differences": {name: found[name] for name in differences if name in found},
        "live": live,
        "repeats": evaluate_repeats(recipe, prepared, path, int(recipe.gate.metric.rpartition("_at_")[2])),
        "sampled": evaluate_sampled(recipe, prepared, path, queries),
        "sources": source_effects(recipe, prepared, path, recipe.serving.default_k),
        "rules": rule_effects(recipe, prepared, path, recipe.serving.default_k),
        **_lists(recipe, prepared, retrieval_folder, queries, ours, lists["popularity"]),
    }
    objectives = evaluate_objectives(recipe, prepared, path, queries, {name: lists[name] for name in systems}, depths)
    if objectives is not None:
        evaluation["objectives"] = objectives
    out.mkdir(parents=True, exist_ok=True)
    (out / "evaluation.json").write_text(json.dumps(evaluation, indent=1, sort_keys=True) + "\n")
    arrays = {
        f"{system}/{name}": v.astype(np.float32) for system, one in systems.items() for name, v in one.values.items()
    }
    _write_npz(out / "rows.npz", arrays | {"user": queries.user.astype(np.int32)})
    return _step_result(recipe, evaluation, trace)


def _baseline_lists(
    recipe: Recipe, prepared: Prepared, queries: EvaluationQueries, k: int, seen: Sequence[NDArray[Any]]
) -> dict[str, NDArray[np.int64]]:
    """The lists of popularity and of item-kNN, whose history length is tuned on the validation queries, each [Q, k]."""
    samples, counts = prepared.samples, np.asarray(prepared.store.popularity)
    train = np.flatnonzero((samples.part == 1) & samples.label)
    valid = prepared.valid.draw(_KNN_QUERIES, recipe.seed)
    histories, valid_histories = prepared.histories(queries), prepared.histories(valid)
    read = [rows[-_KNN_HISTORIES[-1] :] for rows in (*histories, *valid_histories)]
    available, together = prepared.store.available, np.unique(np.concatenate(read))
    knn = ItemKNN(samples.user[train], samples.item[train], counts, together, available=available)
    valid_seen = _seen(recipe, valid_histories)
    depth = int(recipe.gate.metric.rpartition("_at_")[2])
    found = {}
    for length in _KNN_HISTORIES if len(valid) else ():
        rows_QK = knn.rank(depth, [rows[-length:] for rows in valid_histories], valid_seen, valid.time)
        found[length] = system_result(rows_QK, valid, [depth]).values[recipe.gate.metric].mean()
    best = max(found, key=lambda length: found[length]) if found else _KNN_HISTORIES[0]
    say(f"evaluate: item-kNN uses the last {best} events of a history")
    popularity = Popularity(np.asarray(prepared.store.popular), available)
    lists = {
        "popularity": popularity.rank(k, seen, queries.time),
        "item_knn": knn.rank(k, [rows[-best:] for rows in histories], seen, queries.time),
    }
    # Where seen items are masked, buying again recommends nothing; evaluate_repeats evaluates it without the mask.
    if recipe.evaluation.mask_seen:
        return lists
    return lists | {"buy_again": BuyAgain(popularity).rank(k, histories, queries.time)}


def _lists(
    recipe: Recipe,
    prepared: Prepared,
    retrieval: Path,
    queries: EvaluationQueries,
    ours: PathRecommendations,
    popularity_QK: NDArray[np.int64],
) -> dict[str, Any]:
    """Statistics of the lists at the served length, and the lists of some users."""
    store, k = prepared.store, min(recipe.serving.default_k, popularity_QK.shape[1])
    lists = {"path": ours.ranked} | ({"retrieval": ours.retrieved} if recipe.ranking.enabled else {})
    systems = {name: Ranked(one.rows_EK, one.scores_EK) for name, one in lists.items()}
    popular = Ranked(popularity_QK, np.asarray(store.popular)[popularity_QK])
    marks = ItemMarks.of(recipe, prepared, retrieval)
    return {
        "lists": describe_lists(systems | {"popularity": popular}, ours.known_E, marks, queries, store, k),
        "sample_users": sample_users(systems, ours.known_E, queries, store, k),
    }


def _seen(recipe: Recipe, histories: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """The items that must not be recommended for each query."""
    return histories if recipe.evaluation.mask_seen else [np.zeros(0, np.int32)] * len(histories)


def _write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Like `np.savez_compressed`, but without timestamps, so that equal arrays give equal bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name in sorted(arrays):
            with file.open(zipfile.ZipInfo(f"{name}.npy"), "w") as entry:
                np.lib.format.write_array(entry, np.ascontiguousarray(arrays[name]), allow_pickle=False)


def _step_result(recipe: Recipe, evaluation: dict[str, Any], trace: Trace) -> StepResult:
    depth = recipe.gate.metric.rpartition("_at_")[2]
    shown = dict.fromkeys((recipe.gate.metric, f"recall_at_{depth}", f"hit_rate_at_{depth}"))
    metrics = {
        f"{system}_{metric}": table[metric]["mean"]
        for system, table in evaluation["systems"].items()
        for metric in shown
    }
    for system, table in evaluation["systems"].items():
        one = table[recipe.gate.metric]
        say(f"evaluate: {system} {recipe.gate.metric} {one['mean']:.4f} [{one['low']:.4f}, {one['high']:.4f}]")
    return StepResult(
        rows_in={"queries": evaluation["queries"]},
        metrics=metrics,
        details={"evaluation": evaluation, "stages": trace.as_dict()},
    )
