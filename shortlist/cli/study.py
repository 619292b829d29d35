"""A study: trials on Ray Tune, stopped early by ASHA. The only module that knows Ray.

Ray's own state is not used to resume. The values follow from the seed, and each trial first reports the epochs of its
folder again, so that ASHA compares with them; then it goes on, if it has not ended.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shortlist.cli.places import Places
from shortlist.cli.trial import run_trial
from shortlist.cpus import available_cpus
from shortlist.recipe import Recipe, Space, Tune
from shortlist.tuning.space import trial_recipe
from shortlist.tuning.trials import COMPLETE, STOPPED, TrialFolder

if TYPE_CHECKING:
    from ray import tune as ray_tune

_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_raylet_start_wait_time_s": "300",  # on a busy machine, 30 seconds are too short
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # it would end the study as if it were complete
}
_OBJECT_STORE = 128 * 2**20
"""Bytes; trials exchange only numbers."""

Say = Callable[[str, int, int, float], None]
"""Gets the trial, the epoch and the number of epochs, and the metric."""


class StudyError(ValueError):
    """A study cannot start; the message says why and what to do."""


def check_installed() -> None:
    """Raises StudyError when the extra `tuning` is not installed."""
    if find_spec("ray") is None:
        raise StudyError("tuning needs Ray, which is not installed: pip install 'shortlist[tuning]'")


def run_study(
    study: Path, places: Places, tune: Tune, shared: Path | None, parallel: int, address: str | None, say: Say
) -> None:
    """Run the trials that are left, `parallel` at a time, on this machine or on the Ray cluster at `address`."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    import ray
    from ray import tune as ray_tune

    cores = available_cpus()
    where: dict[str, Any] = {"address": address}
    if address is None:
        where = {"address": "local", "num_cpus": max(cores, parallel), "object_store_memory": _OBJECT_STORE}
        where["include_dashboard"] = False
    state = study / "ray"
    shutil.rmtree(state, ignore_errors=True)
    try:
        ray.init(**where, log_to_driver=False, logging_level="ERROR")
        resources = _resources(places.recipe, tune, parallel, None if address else cores, ray.cluster_resources())
        trainable = _trainable(study, places, tune, shared, threads=int(resources["cpu"]))
        ray_tune.Tuner(
            ray_tune.with_resources(trainable, resources),
            param_space={path: _domain(space) for path, space in tune.fields.items()},
            tune_config=_settings(places.recipe, tune, parallel),
            run_config=ray_tune.RunConfig(
                name=state.name, storage_path=str(study), verbose=0, callbacks=[_watcher(study, tune, say)]
            ),
        ).fit()
    finally:
        ray.shutdown()
        shutil.rmtree(state, ignore_errors=True)


def _resources(
    recipe: Recipe, tune: Tune, parallel: int, cores: int | None, there: Mapping[str, float]
) -> dict[str, float]:
    """Cores and GPUs of a trial: its share of this machine with `cores`, or on a cluster what the recipe asks for."""
    gpus = there.get("GPU", 0.0)
    if cores is not None:
        share = gpus / parallel
        return {"cpu": max(cores // parallel, 1), "gpu": share if share < 1 else int(share)}
    asked = recipe.resources.of(tune.step)
    if asked.gpus > gpus:
        raise StudyError(f"a trial needs {asked.gpus} GPUs (resources), but the Ray cluster has {gpus:g}")
    return {"cpu": max(round(asked.cpu), 1), "gpu": asked.gpus}


def _settings(recipe: Recipe, tune: Tune, parallel: int) -> "ray_tune.TuneConfig":
    from ray import tune as ray_tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search import BasicVariantGenerator

    most = max([_epochs(recipe, tune), *_largest(tune.fields.get(f"{_part(tune)}.training.epochs"))])
    return ray_tune.TuneConfig(
        metric=tune.metric,
        mode="max",
        num_samples=tune.trials,
        scheduler=ASHAScheduler(
            time_attr="epoch",
            max_t=most + 1,  # Ray would stop a trial at its last epoch, before it has written its files
            grace_period=min(tune.min_epochs, most),
            reduction_factor=tune.reduction,
        ),
        search_alg=BasicVariantGenerator(max_concurrent=parallel, random_state=recipe.seed),
    )


def _trainable(
    study: Path, places: Places, tune: Tune, shared: Path | None, threads: int
) -> Callable[[dict[str, Any]], None]:
    base, project = places.recipe, places.project

    def trial(values: Mapping[str, Any]) -> None:
        from ray import tune as ray_tune

        recipe = trial_recipe(base, tune, values)
        folder = TrialFolder(_folder(study, ray_tune.get_context().get_trial_id()))

        def say(epoch: int, value: float) -> None:
            ray_tune.report({"epoch": epoch, "epochs": _epochs(recipe, tune), tune.metric: value})

        def report(epoch: int, value: float) -> None:
            folder.add(epoch, value)
            say(epoch, value)

        before = folder.open(values)
        for epoch, value in before.curve:
            say(epoch, value)
        if before.ended:
            return
        known = {epoch for epoch, _ in before.curve}
        try:
            run_trial(folder.path / "run", recipe, tune, shared, project, threads, known, report)
        except Exception as error:
            folder.fail(str(error))
            raise
        folder.end(COMPLETE)

    return trial


def _watcher(study: Path, tune: Tune, say: Say) -> "ray_tune.Callback":
    from ray import tune as ray_tune

    class Watcher(ray_tune.Callback):  # type: ignore[misc, unused-ignore]  # Any where Ray is not installed
        """Says each epoch, and notes which trials ASHA has stopped."""

        def on_trial_result(self, trial: Any, result: dict[str, Any], **_: Any) -> None:
            name = _folder(study, trial.trial_id).name
            say(name, result["epoch"], result["epochs"], result[tune.metric])

        def on_trial_complete(self, trial: Any, **_: Any) -> None:
            last = trial.last_result
            whole = last.get("epoch") == last.get("epochs")
            TrialFolder(_folder(study, trial.trial_id)).end(COMPLETE if whole else STOPPED)

    return Watcher()


def _folder(study: Path, trial_id: str) -> Path:
    """Ray numbers trials as 27b34_00001, with other characters in front each time."""
    return study / "trials" / trial_id.rpartition("_")[2]


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


def _part(tune: Tune) -> str:
    return tune.step.removeprefix("train_")


def _epochs(recipe: Recipe, tune: Tune) -> int:
    return (recipe.retrieval if tune.step == "train_retrieval" else recipe.ranking).training.epochs


def _largest(space: Space | None) -> list[int]:
    return [] if space is None else [int(value) for value in space.choice or space.integer or ()]
