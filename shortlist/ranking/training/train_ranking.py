"""Trains the ranker, compares it with retrieval on held-out queries, and calibrates it.

It is trained on the candidates that the index returns for validation queries, or on labels (`ranking.learn_from`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from shortlist.dataset.prepared import Prepared
from shortlist.progress import say
from shortlist.ranking.network.configure import ranker_config
from shortlist.ranking.network.inputs import ItemTables
from shortlist.ranking.network.model import RankingModel
from shortlist.ranking.ranker import Calibration, Ranker
from shortlist.ranking.training.batches import retrieve
from shortlist.ranking.training.candidate_task import answerable
from shortlist.ranking.training.collect import collect_statistics
from shortlist.ranking.training.cross_fit import fit_ranker, learn
from shortlist.ranking.training.held_out import METRIC
from shortlist.ranking.training.label_task import LabelTask
from shortlist.ranking.training.validation import (
    Calibrated,
    calibrate_candidates,
    calibrate_labels,
    compare_with_retrieval,
)
from shortlist.recipe import Recipe
from shortlist.recipe.fields import POSITIVE
from shortlist.recommend.recommender import Recommender
from shortlist.step_result import StepResult
from shortlist.training.fit import FitResult


def train_ranking(
    recipe: Recipe,
    prepared: Prepared,
    retrieval_folder: Path,
    index_folder: Path,
    out: Path,
    statistics: Path | None = None,
) -> StepResult:
    """Write ranker.safetensors and ranking.json to `out`, or nothing if the recipe disables ranking.

    The two folders are of towers that have not learnt from the validation window (`refit.for_ranker`): its queries are
    the ranker's examples. `statistics` is the folder of the statistics of the train window that candidate sources
    read, if it is not that of the index.
    A trained ranker that is worse than retrieval on the held-out queries is not kept: the files then contain the
    initial network, which keeps the order of retrieval, and the result reports it.
    Raises ValueError when the folders are not from the same run, or when training fails.
    """
    out.mkdir(parents=True, exist_ok=True)
    if not recipe.ranking.enabled:
        say("train ranking: the recipe disables ranking")
        return StepResult(details={"enabled": False})
    if recipe.ranking.learn_from == "labels":
        return _from_labels(recipe, prepared, retrieval_folder, out)
    recommender = Recommender.open(
        recipe,
        prepared.store,
        retrieval_folder,
        index_folder,
        ranks=True,
        threads=torch.get_num_threads(),
        statistics=statistics,
    )
    return _from_candidates(recipe, prepared, retrieval_folder, recommender, out)


def _from_candidates(
    recipe: Recipe, prepared: Prepared, retrieval: Path, recommender: Recommender, out: Path
) -> StepResult:
    queries = answerable(recipe, prepared).draw(recipe.ranking.max_queries, recipe.seed)
    labels = list(recipe.interactions.labels)
    retrieved = retrieve(prepared, recommender, queries, labels, label="train ranking: retrieve")
    tables = ItemTables(retrieval, prepared.store, collect_statistics(recipe, prepared))
    learnt = learn(recipe, retrieved, tables, ranker_config(recipe, prepared, tables, retrieved))
    comparison = compare_with_retrieval(learnt.held_out, recipe.seed)
    kept = learnt.result is not None and comparison.difference >= 0
    if learnt.result is not None and not kept:
        say("train ranking: retrieval alone is better on the held-out queries; the order of retrieval is kept")
        learnt = learnt.start_again()
    found = calibrate_candidates(learnt.held_out)
    calibrated = found[POSITIVE]
    metrics = {
        f"heldout_{METRIC}_ranked": comparison.ranked,
        f"heldout_{METRIC}_retrieved": comparison.retrieved,
        "heldout_difference": comparison.difference,
        "heldout_difference_low": comparison.low,
        "heldout_difference_high": comparison.high,
        "kept": float(kept),
        **_errors(found),
    }
    model, result = learnt.task.model, learnt.result
    ranker = _ranker(recipe, model, found)
    ranker.save(out, metrics, collect_statistics(recipe, prepared, served=True))
    num_targets = int(retrieved.num_targets.sum())
    metrics[f"recall_at_{retrieved.rows_QK.shape[1]}"] = float(retrieved.hits_QK.sum() / max(num_targets, 1))
    return StepResult(
        rows_in={"queries": len(retrieved.queries), "targets": num_targets},
        rows_out={"examples": len(learnt.task.batches), "heldout_queries": len(learnt.held_out.at_H)},
        metrics=metrics | _training_metrics(result),
        details=_details(model, result, calibrated.curve, kept=kept),
    )


def _from_labels(recipe: Recipe, prepared: Prepared, retrieval: Path, out: Path) -> StepResult:
    tables = ItemTables(retrieval, prepared.store)
    task = LabelTask(recipe, prepared, tables, ranker_config(recipe, prepared, tables, None))
    result = None
    if len(task.train.at_n) and len(task.valid.at_n):
        result = fit_ranker(recipe, task)
    else:
        say("train ranking: no labelled events in the train or the validation part; the order of retrieval is kept")
    found = task.validate()
    kept = result is not None and found["auc"] > _CHANCE
    if result is not None and not kept:
        say("train ranking: the AUC on the validation labels is not above chance; the order of retrieval is kept")
        task.restart()
    calibrations = calibrate_labels(task)
    calibrated = calibrations[POSITIVE]
    metrics = {f"heldout_{name}": value for name, value in found.items()}
    metrics |= {"kept": float(kept), **_errors(calibrations)}
    _ranker(recipe, task.model, calibrations).save(out, metrics)
    return StepResult(
        rows_in={"labelled": len(task.train.at_n) + len(task.valid.at_n)},
        rows_out={"examples": len(task.train.at_n), "heldout_labels": len(task.valid.at_n)},
        metrics=metrics | _training_metrics(result),
        details=_details(task.model, result, calibrated.curve, kept=kept),
    )


def _ranker(recipe: Recipe, model: RankingModel, found: Mapping[str, Calibrated]) -> Ranker:
    calibrations = {name: Calibration(slope=one.slope, intercept=one.intercept) for name, one in found.items()}
    return Ranker(model, calibrations.pop(POSITIVE), calibrations, recipe.ranking.objective)


def _errors(found: Mapping[str, Calibrated]) -> dict[str, float]:
    """The calibration errors, those of labels with their names."""
    return {
        name if objective == POSITIVE else f"{objective}_{name}": error
        for objective, one in found.items()
        for name, error in one.errors.items()
    }


_CHANCE = 0.5
"""The AUC of random scores."""


def _training_metrics(result: FitResult | None) -> dict[str, float]:
    if result is None:
        return {}
    return {
        "examples_per_second": round(result.examples_per_second, 1),
        "epochs": float(len(result.epochs)),
        "best_epoch": float(result.best_epoch),
        "peak_memory_mb": result.peak_memory_mb,
    }


def _details(
    model: torch.nn.Module, result: FitResult | None, curve: list[list[float]], *, kept: bool
) -> dict[str, Any]:
    details: dict[str, Any] = {
        "enabled": True,
        "kept": "the trained ranker" if kept else "the order of retrieval",
        "reliability": curve,
        "parameters": sum(weight.numel() for weight in model.parameters()),
    }
    if result is not None:
        details["curves"] = {name: [row[name] for row in result.epochs] for name in result.epochs[0]}
        details["stopped_early"] = result.stopped_early
    return details
