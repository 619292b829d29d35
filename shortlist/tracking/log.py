"""Sends a run to MLflow, once or again; the only module that knows it."""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shortlist.progress import say
from shortlist.recipe import Recipe, Tracking, dump_recipe
from shortlist.release.bundle import open_release
from shortlist.release.manifest import MANIFEST, Manifest
from shortlist.report import RunRecord
from shortlist.step_result import StepRecord
from shortlist.tracking.place import Place, TrackingError, place_of
from shortlist.tracking.tracked import FAILURE_TAG, RUN_TAG, TrackedRun, commit_of

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",  # notes on each migration of its database
    "GIT_PYTHON_REFRESH": "quiet",  # an image without git is no reason for a warning
}
"""Where the user has not set them: MLflow's own limits keep a run waiting for many minutes."""
_PER_REQUEST = {"metrics": 1000, "params": 100, "tags": 100}
"""MLflow's limits on a batch."""
_FOLDER = "release"


@dataclass(frozen=True)
class Logged:
    """Where a run was logged."""

    run_id: str
    """MLflow's id of the run."""
    experiment: str
    place: Place
    model_version: str | None
    """The version of the registered model; None if the run published no release."""


def check_installed() -> None:
    """Raises TrackingError when the extra `tracking` is not installed."""
    if find_spec("mlflow") is None:
        raise TrackingError(
            "tracking needs MLflow, which is not installed: pip install 'shortlist[tracking]', or for an image "
            "LOCK=pipeline-tracking make images; or remove tracking from the recipe"
        )


def track(run: TrackedRun, tracking: Tracking) -> Logged:
    """Log a run, or complete what was logged of it before. Raises TrackingError when that is not possible."""
    check_installed()
    place = place_of(tracking)
    place.check()
    with _settings():
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 - seconds to load, and only with the extra
        from mlflow.tracking import MlflowClient  # noqa: PLC0415

        try:
            return _log(MlflowClient(tracking_uri=place.uri), run, tracking, place)
        except MlflowException as error:
            raise TrackingError(f"{place.uri}: MLflow refused the run: {error}") from error


def track_finished(
    recipe: Recipe, records: Sequence[StepRecord], written: RunRecord, files: Mapping[str, Path]
) -> None:
    """Log a run whose report was just written, if its recipe says so; never fails the run."""
    if recipe.tracking is not None:
        track_or_warn(TrackedRun.finished(recipe, records, written, files, commit_of(Path.cwd())), recipe.tracking)


def track_or_warn(run: TrackedRun, tracking: Tracking) -> None:
    """Log a run; what prevents it is a warning and never fails the run."""
    try:
        logged = track(run, tracking)
    except Exception as error:  # noqa: BLE001 - whatever the client, its database or its object store raises
        say(f"not tracked: {' '.join(str(error).split())}; to log it later: shortlist track RECIPE {run.name}")
        return
    version = "" if logged.model_version is None else f", its release is version {logged.model_version}"
    say(f"tracked: run {logged.run_id} of experiment {logged.experiment} in {logged.place.uri}{version}")


def _log(client: "MlflowClient", run: TrackedRun, tracking: Tracking, place: Place) -> Logged:
    name = tracking.experiment or run.recipe.name
    found = _run(client, _experiment(client, name, place), run)
    run_id = found.info.run_id
    _values(client, run_id, run)
    if run.failure is None and FAILURE_TAG in found.data.tags:
        client.delete_tag(run_id, FAILURE_TAG)  # it was resumed
    for artifact, file in run.files.items():
        client.log_artifact(run_id, str(file), str(Path(artifact).parent) if "/" in artifact else None)
    client.log_text(run_id, dump_recipe(run.recipe), "recipe.yaml")
    manifest = run.manifest
    version = None
    if manifest is not None and run.published:
        version = _model_version(client, found, run, manifest, tracking)
    client.set_terminated(run_id, "FAILED" if run.failure else "FINISHED", _milliseconds(run.ended))
    return Logged(run_id, name, place, version)


def _experiment(client: "MlflowClient", name: str, place: Place) -> str:
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    if (found := client.get_experiment_by_name(name)) is None:
        try:
            return str(client.create_experiment(name, artifact_location=place.artifacts))
        except MlflowException:
            # Another run may have created it meanwhile.
            if (found := client.get_experiment_by_name(name)) is None:
                raise
    if found.lifecycle_stage != "active":
        raise TrackingError(
            f"{place.uri}: the experiment {name!r} was deleted; restore it, or name another one in tracking.experiment"
        )
    return str(found.experiment_id)


def _run(client: "MlflowClient", experiment: str, run: TrackedRun) -> "Run":
    name = run.name.replace("'", "")
    for one in client.search_runs([experiment], f"tags.`{RUN_TAG}` = '{name}'", max_results=1):
        return one
    tags = {RUN_TAG: name, "mlflow.source.name": run.recipe.name, "mlflow.source.type": "JOB"}
    return client.create_run(experiment, _milliseconds(run.started), tags, run_name=run.name)


def _values(client: "MlflowClient", run_id: str, run: TrackedRun) -> None:
    from mlflow.entities import Metric, Param, RunTag  # noqa: PLC0415

    values: dict[str, list[Any]] = {
        "params": [Param(key, value) for key, value in run.parameters().items()],
        "metrics": [Metric(one.name, one.value, _milliseconds(one.at), one.step) for one in run.metrics()],
        "tags": [RunTag(key, value) for key, value in run.tags().items()],
    }
    for kind, all_of_them in values.items():
        for start in range(0, len(all_of_them), _PER_REQUEST[kind]):
            client.log_batch(run_id, **{kind: all_of_them[start : start + _PER_REQUEST[kind]]})


def _model_version(
    client: "MlflowClient", found: "Run", run: TrackedRun, manifest: Manifest, tracking: Tracking
) -> str:
    """The version of the release, which is created if it does not exist.

    A release is registered once: the same release of another run is the same version. Its source is its address in the
    bucket; a server refuses a folder of another machine, so that otherwise it is a folder of the run's artifacts.
    """
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    assert run.record is not None
    model, address = tracking.model or run.recipe.name, run.record.paths["release"]
    for one in client.search_model_versions(f"name='{model}'"):
        if one.tags.get("shortlist.release") == manifest.name:
            return str(one.version)
    run_id = found.info.run_id
    with tempfile.TemporaryDirectory() as folder:
        if tracking.models:
            place = open_release(run.record.paths["releases"], manifest.name, Path(folder))
            client.log_artifacts(run_id, str(place), _FOLDER)
        else:
            file = Path(folder) / MANIFEST
            file.write_bytes(manifest.canonical())
            client.log_artifact(run_id, str(file), _FOLDER)
    in_bucket = "://" in address and not address.startswith("file:")
    source = address if in_bucket and not tracking.models else f"{found.info.artifact_uri}/{_FOLDER}"
    try:
        client.create_registered_model(model, description=run.recipe.description or None)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    tags = run.lineage() | {"shortlist.run": run.name, "shortlist.address": address}
    reason = run.record.decision.reason if run.record.decision is not None else ""
    made = client.create_model_version(model, source, run_id, tags=tags, description=reason, await_creation_for=0)
    return str(made.version)


def _milliseconds(at: datetime) -> int:
    return round(at.timestamp() * 1000)


@contextmanager
def _settings() -> Iterator[None]:
    """Our settings of MLflow, where the user has none."""
    added = {name: value for name, value in _SETTINGS.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]
