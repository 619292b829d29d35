"""Judges what will be served: the exported tower, the index and the ranker answer every test question.

Beside the whole path stand retrieval alone, popularity, item-kNN and the live release, on the same questions and over
the full catalogue. Shapes: Q questions, K ranked items, N item rows.

    evaluation/evaluation.json   means with paired bootstrap intervals
    evaluation/rows.npz          `<system>/<metric>_at_<k>` -> float32 [Q], and `user`, the row of each question's user
"""

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from shortlist.evaluation.baselines import ItemKNN, Popularity
from shortlist.evaluation.bootstrap import intervals
from shortlist.evaluation.live_answers import live_answers
from shortlist.evaluation.metrics import coverage, find_hits, measure
from shortlist.evaluation.whole_path import WholePath
from shortlist.facts import StepFacts
from shortlist.prepare.prepared import Prepared, Questions
from shortlist.progress import Progress, say
from shortlist.recipe import Recipe

_AT_ONCE = 256
_KNN_HISTORIES = (10, 50, 200)  # lengths that item-kNN chooses from
_KNN_QUESTIONS = 2_000  # of the validation, to choose by

Values = dict[str, NDArray[np.float64]]
"""Metric -> one value a question, [Q]."""


@dataclass(frozen=True)
class Judged:
    """One system's answers to all questions."""

    rows_QK: NDArray[np.int64]
    hits_QK: NDArray[np.bool_]
    values: Values


def evaluate(
    recipe: Recipe,
    prepared: Prepared,
    retrieval_folder: Path,
    index_folder: Path,
    ranking_folder: Path | None,
    live_release_folder: Path | None,
    out: Path,
) -> StepFacts:
    """Ask the test questions of all systems and write evaluation.json and rows.npz.

    `live_release_folder` is named after its release; one that cannot be asked is skipped, with the reason.
    Raises ValueError when there is no test question, or the parts are not of one another.
    """
    store, depths = prepared.store, sorted(set(recipe.evaluation.k))
    questions = prepared.test.draw(recipe.evaluation.max_queries, recipe.seed)
    if not len(questions):
        raise ValueError(
            "evaluate: there is no test question: nobody has a new positive in the test window; "
            "make split.test longer, or set evaluation.mask_seen to false if people come back to the same items"
        )
    threads = faiss.omp_get_max_threads()
    ranking = ranking_folder if recipe.ranking.enabled else None
    path = WholePath.open(recipe, store, retrieval_folder, index_folder, ranking, threads=threads)
    num_items = int(store.available.within(int(questions.time.min()), int(questions.time.max())).sum())
    say(f"evaluate: {len(questions)} questions over {num_items} items")
    seen = _seen(recipe, _histories(prepared, questions))
    answers = dict(zip(("path", "retrieval"), _ask(path, prepared, questions, depths[-1], seen), strict=True))
    answers |= _ask_baselines(recipe, prepared, questions, depths[-1], seen)
    live: dict[str, Any] | None = None
    if live_release_folder is not None:
        live = {"release": live_release_folder.name, "metrics": {}, "difference": {}, "skipped": None}
        try:
            answers["live"] = live_answers(live_release_folder, store, questions, depths[-1], seen, threads)
        except Exception as error:  # noqa: BLE001 -- whatever is wrong with another release does not stop this one
            live["skipped"] = f"{type(error).__name__}: {error}"
            say(f"warning: the live release {live['release']} is not compared: {live['skipped']}")

    judged = {system: _judge(rows_QK, questions, depths) for system, rows_QK in answers.items()}
    others = [system for system in judged if system != "path"]
    differences = {f"path_minus_{system}": _minus(judged["path"].values, judged[system].values) for system in others}
    if path.ranker is not None:  # the gate may serve without it
        alone = judged["retrieval"].values
        rest = [system for system in others if system != "retrieval"]
        differences |= {f"retrieval_minus_{system}": _minus(alone, judged[system].values) for system in rest}
    tables = _tables({system: one.values for system, one in judged.items()} | differences, recipe)
    if live is not None and "live" in judged:
        live |= {"metrics": tables.pop("live"), "difference": tables.pop("path_minus_live")}
        live |= {"difference_of_retrieval": tables.pop("retrieval_minus_live", live["difference"])}
        judged.pop("live")
    evaluation = {
        "questions": len(questions),
        "unknowable_targets": prepared.unknowable("test").as_dict(),
        "k": depths,
        "confidence": recipe.gate.confidence,
        "systems": {system: tables[system] for system in judged},
        "coverage": {
            system: {str(k): round(coverage(one.rows_QK, num_items, k), 6) for k in depths}
            for system, one in judged.items()
        },
        "slices": _slices(recipe, prepared, questions, judged, depths),
        "differences": {name: tables[name] for name in differences if name in tables},
        "live": live,
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "evaluation.json").write_text(json.dumps(evaluation, indent=1, sort_keys=True) + "\n")
    arrays = {
        f"{system}/{name}": v.astype(np.float32) for system, one in judged.items() for name, v in one.values.items()
    }
    _write_npz(out / "rows.npz", arrays | {"user": questions.user.astype(np.int32)})
    return _facts(recipe, evaluation)


def _ask(
    path: WholePath, prepared: Prepared, questions: Questions, k: int, seen: Sequence[NDArray[Any]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The whole path's answers and those of retrieval alone, each [Q, k]."""
    path_QK, retrieval_QK = (np.zeros((len(questions), k), np.int64) for _ in range(2))
    progress = Progress("evaluate: whole path", len(questions))
    for start in range(0, len(questions), _AT_ONCE):
        at = np.arange(start, min(start + _AT_ONCE, len(questions)))
        part = questions.take(at)
        asked = prepared.queries(part), k, [seen[q] for q in at.tolist()], part.time
        retrieval_QK[at], path_QK[at] = path.answer(*asked)
        progress.advance(len(at))
    return path_QK, retrieval_QK


def _ask_baselines(
    recipe: Recipe, prepared: Prepared, questions: Questions, k: int, seen: Sequence[NDArray[Any]]
) -> dict[str, NDArray[np.int64]]:
    """Popularity, and item-kNN with the history length that is best on the validation questions, each [Q, k]."""
    samples, counts = prepared.samples, np.asarray(prepared.store.popularity)
    train = np.flatnonzero((samples.part == 1) & samples.label)
    valid = prepared.valid.draw(_KNN_QUESTIONS, recipe.seed)
    histories, valid_histories = _histories(prepared, questions), _histories(prepared, valid)
    read = [rows[-_KNN_HISTORIES[-1] :] for rows in (*histories, *valid_histories)]
    available, together = prepared.store.available, np.unique(np.concatenate(read))
    knn = ItemKNN(samples.user[train], samples.item[train], counts, together, available=available)
    valid_seen = _seen(recipe, valid_histories)
    depth = int(recipe.gate.metric.rpartition("_at_")[2])
    found = {}
    for length in _KNN_HISTORIES if len(valid) else ():
        rows_QK = knn.rank(depth, [rows[-length:] for rows in valid_histories], valid_seen, valid.time)
        found[length] = _judge(rows_QK, valid, [depth]).values[recipe.gate.metric].mean()
    best = max(found, key=lambda length: found[length]) if found else _KNN_HISTORIES[0]
    say(f"evaluate: item-kNN reads the last {best} events")
    return {
        "popularity": Popularity(np.asarray(prepared.store.popular), available).rank(k, seen, questions.time),
        "item_knn": knn.rank(k, [rows[-best:] for rows in histories], seen, questions.time),
    }


def _seen(recipe: Recipe, histories: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """What each question must not be answered with."""
    return histories if recipe.evaluation.mask_seen else [np.zeros(0, np.int32)] * len(histories)


def _histories(prepared: Prepared, questions: Questions) -> list[NDArray[Any]]:
    """All item rows of each question's history, in time order; views, since together they may be most of the data."""
    items = np.asarray(prepared.store.history_items)
    return [items[start:end] for start, end in zip(questions.start.tolist(), questions.end.tolist(), strict=True)]


def _judge(rows_QK: NDArray[np.int64], questions: Questions, depths: Sequence[int]) -> Judged:
    hits = find_hits(rows_QK, questions.target_offsets, questions.target_items)
    return Judged(rows_QK, hits, measure(hits, np.diff(questions.target_offsets), depths))


def _minus(one: Values, other: Values) -> Values:
    return {name: one[name] - other[name] for name in one}


def _tables(systems: Mapping[str, Values], recipe: Recipe) -> dict[str, dict[str, dict[str, float]]]:
    """System -> metric -> mean, low and high, all from the same resamples."""
    names = [(system, metric) for system, values in systems.items() for metric in values]
    columns = np.stack([systems[system][metric] for system, metric in names], axis=1)
    found = intervals(
        columns, resamples=recipe.evaluation.bootstrap, confidence=recipe.gate.confidence, seed=recipe.seed
    )
    tables: dict[str, dict[str, dict[str, float]]] = {system: {} for system in systems}
    for (system, metric), mean, low, high in zip(names, *(values.tolist() for values in found), strict=True):
        tables[system][metric] = {"mean": round(mean, 6), "low": round(low, 6), "high": round(high, 6)}
    return tables


def _slices(
    recipe: Recipe, prepared: Prepared, questions: Questions, judged: Mapping[str, Judged], depths: Sequence[int]
) -> dict[str, Any]:
    """Questions of users with and without a train positive, and targets among head and tail items.

    The head is the most popular items that together make up the first half of the train positives. In an item slice
    only targets of that kind are right, and only questions that have one are asked.
    """
    samples = prepared.samples
    trained = np.zeros(prepared.store.schema.num_user_rows, bool)
    trained[samples.user[np.flatnonzero((samples.part == 1) & samples.label)]] = True
    known_Q = trained[questions.user]
    slices: dict[str, Any] = {}
    for name, of_Q in (("known_users", known_Q), ("new_users", ~known_Q)):
        values = {s: {metric: v[of_Q] for metric, v in one.values.items()} for s, one in judged.items()}
        slices[name] = {"questions": int(of_Q.sum()), "systems": _tables(values, recipe)}
    head_N = _head(np.asarray(prepared.store.popularity))
    question_of = np.repeat(np.arange(len(questions)), np.diff(questions.target_offsets))
    for name, of_N in (("head_items", head_N), ("tail_items", ~head_N)):
        right = of_N[questions.target_items]
        num_targets = np.bincount(question_of[right], minlength=len(questions))
        asked = num_targets > 0
        values = {
            s: measure((one.hits_QK & of_N[one.rows_QK])[asked], num_targets[asked], depths)
            for s, one in judged.items()
        }
        slices[name] = {"questions": int(asked.sum()), "systems": _tables(values, recipe)}
    return slices


def _head(counts_N: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which item rows make up the first half of the train positives, the most popular first."""
    order = np.argsort(-counts_N, kind="stable")
    before = np.cumsum(counts_N[order]) - counts_N[order]
    head = np.zeros(len(counts_N), bool)
    head[order[before < counts_N.sum() / 2]] = True
    return head


def _write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """As `np.savez_compressed`, without the time of writing: the same arrays give the same bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name in sorted(arrays):
            with file.open(zipfile.ZipInfo(f"{name}.npy"), "w") as entry:
                np.lib.format.write_array(entry, np.ascontiguousarray(arrays[name]), allow_pickle=False)


def _facts(recipe: Recipe, evaluation: dict[str, Any]) -> StepFacts:
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
    return StepFacts(
        rows_in={"questions": evaluation["questions"]}, metrics=metrics, details={"evaluation": evaluation}
    )
