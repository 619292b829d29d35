"""Trains the two towers, and then, if the recipe says so, refits them on train and validation together."""

import hashlib
from pathlib import Path

import numpy as np

from shortlist.dataset.prepared import Prepared
from shortlist.recipe import Recipe
from shortlist.retrieval.leakage import prove_training
from shortlist.retrieval.refit import REFIT, trained_by_refit
from shortlist.retrieval.task import METRICS, RetrievalTask
from shortlist.retrieval.towers import TwoTower
from shortlist.step_result import StepResult
from shortlist.training.fit import FitResult, fit
from shortlist.training.processes import ALONE, Processes


def train_retrieval(recipe: Recipe, prepared: Prepared, out: Path, processes: Processes = ALONE) -> StepResult:
    """Train on all parts of `prepared`; `out` has the checkpoints. Continues from existing checkpoints.

    With several processes, each calls this; only the first one reads and writes `out`. Raises TrainingError with what
    to change when the training cannot start or continue, and LeakageError when it would leak the future.
    """
    task = RetrievalTask(recipe, prepared, processes=processes)
    leakage = prove_training(task.batches, recipe).as_dict() if processes.first else {}
    out = Path(out)
    trained = fit(
        task,
        recipe.retrieval.training,
        out,
        seed=recipe.seed,
        label="train retrieval",
        identity=_identity(recipe, task),
        processes=processes,
    )
    result = _step_result(trained, task)
    result.details["leakage"] = leakage
    if recipe.retrieval.refit.epochs:
        refitted = _refit(recipe, prepared, task.model, out / REFIT, processes)
        result.details["refit"] = {name: [row[name] for row in refitted.epochs] for name in refitted.epochs[0]}
    return result


def _refit(recipe: Recipe, prepared: Prepared, best: TwoTower, out: Path, processes: Processes) -> FitResult:
    """Continue from the best weights with the validation positives as well: docs/decisions/refit.md."""
    settings, training = recipe.retrieval.refit, recipe.retrieval.training
    task = RetrievalTask(recipe, prepared, refit_of=best, processes=processes)
    changes = {"epochs": settings.epochs, "learning_rate": settings.learning_rate * training.learning_rate}
    result = fit(
        task,
        training.model_copy(update=changes),
        out,
        seed=recipe.seed,
        label="refit retrieval",
        identity=_identity(recipe, task),
        processes=processes,
    )
    if processes.first:  # for the export, which has no samples
        trained_by_refit(prepared).save(out)
    return result


def _step_result(trained: FitResult, task: RetrievalTask) -> StepResult:
    best = trained.epochs[trained.best_epoch - 1]
    return StepResult(
        rows_in={"train_positives": len(task.batches.examples), "valid_queries": len(task.queries)},
        metrics={
            **{f"valid_{name}": best[name] for name in METRICS},
            "examples_per_second": round(trained.examples_per_second, 1),
            "epochs": float(len(trained.epochs)),
            "best_epoch": float(trained.best_epoch),
            "peak_memory_mb": trained.peak_memory_mb,
        },
        details={
            "curves": {name: [row[name] for row in trained.epochs] for name in trained.epochs[0]},
            "stopped_early": trained.stopped_early,
            "parameters": sum(weight.numel() for weight in task.model.parameters()),
        },
    )


def _identity(recipe: Recipe, task: RetrievalTask) -> str:
    """A hash of the settings and the data; a training with another identity starts anew.

    The settings of the refit are excluded, since it comes after the training and passes them to its own `fit`.
    """
    digest = hashlib.sha256()
    retrieval = recipe.retrieval.model_dump_json(exclude={"refit"})
    for text in (recipe.features.model_dump_json(), retrieval, task.prepared.store.schema.model_dump_json()):
        digest.update(text.encode())
    samples, at = task.prepared.samples, task.batches.examples
    for column in (samples.user, samples.item, samples.time):
        digest.update(np.ascontiguousarray(column[at]).tobytes())
    if task.metric is None:  # a refit starts from the weights of the training
        for weight in task.model.state_dict().values():
            digest.update(weight.detach().cpu().numpy().tobytes())
    return digest.hexdigest()
