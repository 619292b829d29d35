"""A study: trials on Ray Tune, stopped early by ASHA; it goes on after a kill. The only module that knows Ray."""

import os
import shutil
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shortlist.cli.places import Places
from shortlist.cli.trial import run_steps, run_trial
from shortlist.recipe import Recipe, Space, Step, Tune
from shortlist.tuning.space import shared_until, with_values
from shortlist.tuning.trials import TrialFolder

if TYPE_CHECKING:
    from ray import tune as ray_tune

_SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AIR_NEW_OUTPUT": "0", "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1"}
_NAME = "ray"


class StudyError(ValueError):
    """A study cannot start; the message says why and what to do."""


def check_installed() -> None:
    """Raises StudyError when the extra `tuning` is not installed."""
    if find_spec("ray") is None:
        raise StudyError("tuning needs Ray, which is not installed: pip install 'shortlist[tuning]'")


def prepare_study(study: Path, recipe: Recipe, tune: Tune, project: Path, each: Callable[[str], None]) -> Path | None:
    """Run the steps that all trials have in common; returns their folder, or None if there are none."""
    until = shared_until(tune)
    if until is None:
        return None
    shared = study / "shared"
    shared.mkdir(parents=True, exist_ok=True)
    run_steps(shared, recipe, until, project, each)
    return shared


def run_study(study: Path, places: Places, tune: Tune, shared: Path | None, parallel: int, address: str | None) -> None:
    """Run the trials that are left, `parallel` at a time, on this machine or on the Ray cluster at `address`."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    import ray
    from ray import tune as ray_tune

    cores = os.cpu_count() or 1
    where: dict[str, Any] = {"address": address} if address else {"num_cpus": cores, "include_dashboard": False}
    try:
        ray.init(**where, log_to_driver=False, logging_level="ERROR")
    except Exception as error:  # Ray raises no narrower type when its node does not start in 30 seconds
        raise StudyError(f"Ray did not start: {error} On a busy machine, try again later with --resume") from error
    try:
        given = places.recipe.resources.of(tune.step)
        each = {"cpu": max(cores // parallel, 1), "gpu": given.gpus}
        trainable = ray_tune.with_resources(_trainable(study, places, tune, shared), each)
        path = study / _NAME
        if ray_tune.Tuner.can_restore(str(path)):
            tuner = ray_tune.Tuner.restore(str(path), trainable, resume_unfinished=True, restart_errored=True)
        else:
            shutil.rmtree(path, ignore_errors=True)
            tuner = _tuner(study, places.recipe, tune, trainable, parallel)
        tuner.fit()
    finally:
        ray.shutdown()


def _tuner(study: Path, recipe: Recipe, tune: Tune, trainable: Any, parallel: int) -> "ray_tune.Tuner":
    from ray import tune as ray_tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search import BasicVariantGenerator

    training = recipe.retrieval.training if tune.step == "train_retrieval" else recipe.ranking.training
    epochs = tune.fields.get(f"{tune.step.removeprefix('train_')}.training.epochs")
    most = max(training.epochs, *_largest(epochs)) if epochs is not None else training.epochs
    scheduler = ASHAScheduler(
        time_attr="epoch",
        max_t=most,
        grace_period=min(tune.min_epochs, most),
        reduction_factor=tune.reduction,
    )
    return ray_tune.Tuner(
        trainable,
        param_space={path: _domain(space) for path, space in tune.fields.items()},
        tune_config=ray_tune.TuneConfig(
            metric=tune.metric,
            mode="max",
            num_samples=tune.trials,
            scheduler=scheduler,
            search_alg=BasicVariantGenerator(max_concurrent=parallel, random_state=recipe.seed),
        ),
        run_config=ray_tune.RunConfig(name=_NAME, storage_path=str(study), verbose=0),
    )


def _trainable(study: Path, places: Places, tune: Tune, shared: Path | None) -> Callable[[dict[str, Any]], None]:
    recipe, project = places.recipe, places.project

    def trial(values: Mapping[str, Any]) -> None:
        from ray import tune as ray_tune

        name = ray_tune.get_context().get_trial_id()
        folder = TrialFolder(study / "trials" / name)
        folder.create(values)

        def report(epoch: int, value: float) -> None:
            folder.add(epoch, value)
            ray_tune.report({"epoch": epoch, tune.metric: value})

        try:
            run_trial(folder.path / "run", with_values(recipe, values), tune, shared, project, report)
        except Exception as error:
            folder.end(f"failed: {error}")
            raise
        folder.end()

    return trial


def _domain(space: Space) -> Any:
    from ray import tune as ray_tune

    if space.choice is not None:
        return ray_tune.choice(space.choice)
    if space.uniform is not None:
        return ray_tune.uniform(*space.uniform)
    if space.log_uniform is not None:
        return ray_tune.loguniform(*space.log_uniform)
    assert space.integer is not None
    return ray_tune.randint(space.integer[0], space.integer[1] + 1)


def _largest(space: Space) -> list[int]:
    return [int(value) for value in space.choice or space.integer or (1,)]


def steps_shared(step: Step | None) -> str:
    """What the trials share, in words."""
    return "nothing: each trial reads the data" if step is None else f"the steps until {step}"
