"""`shortlist track`: logs a run of this machine to MLflow, after it has ended."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shortlist.cli.places import RecipePath, Work, find_places

if TYPE_CHECKING:
    from shortlist.cli.run_folders import RunFolder
    from shortlist.recipe import Tracking
    from shortlist.tracking.tracked import TrackedRun


def track(
    recipe: RecipePath,
    run: Annotated[
        str, typer.Argument(help="The run's name, its first characters, or 'last'.", metavar="[RUN]")
    ] = "last",
    work: Work = None,
    uri: Annotated[
        str | None, typer.Option(help="The MLflow server or folder, instead of that of the recipe.", show_default=False)
    ] = None,
) -> None:
    """Log a run to MLflow: one that ended while no server responded, that failed, or from before it was tracked.

    A run is logged once: doing it again completes what is missing.
    """
    from shortlist.cli.run_folders import State, find_run
    from shortlist.recipe import Tracking
    from shortlist.tracking.log import track as log

    places = find_places(recipe, work)
    one = find_run(places.runs, run)
    if one.state == State.RUNNING:
        raise ValueError(f"{one.name} is running; it is logged when it has ended")
    tracking = places.recipe.tracking or Tracking(uri=str(places.work / "mlflow"))
    if uri is not None:
        tracking = Tracking.model_validate(tracking.model_dump() | {"uri": uri})
    logged = log(tracked_run(one, tracking), tracking)
    typer.echo(f"tracked   {one.name}\nrun       {logged.run_id} of experiment {logged.experiment}")
    if logged.model_version is not None:
        typer.echo(f"release   version {logged.model_version} of model {tracking.model or places.recipe.name}")
    typer.echo(f"see       {logged.place.viewer}")


def track_failure(folder: Path, why: str, tracking: "Tracking", project: Path) -> None:
    """Log a run that a step has just ended; what prevents it is a warning."""
    from shortlist.cli.run_folders import RunFolder, State, start_of
    from shortlist.tracking.log import track_or_warn
    from shortlist.tracking.tracked import commit_of

    failed = RunFolder(folder, State.FAILED, start_of(folder), seconds=None, record=None, failure=why)
    track_or_warn(tracked_run(failed, tracking, commit_of(project)), tracking)


def tracked_run(run: "RunFolder", tracking: "Tracking", commit: str | None = None) -> "TrackedRun":
    """What is logged of a run that has ended."""
    from shortlist.cli.step_records import OUTPUTS, StepRecords
    from shortlist.pipelines.recipe_reads import STEPS
    from shortlist.recipe import load_recipe
    from shortlist.report import RunRecord
    from shortlist.step_result import read_record
    from shortlist.tracking.tracked import TrackedRun

    done = StepRecords(run.path)
    paths = [run.path / OUTPUTS / step.replace("_", "-") / "record" for step in STEPS if done.is_complete(step)]
    records = [read_record(path) for path in paths if path.exists()]
    recipe = load_recipe(run.path / "recipe.yaml").model_copy(update={"tracking": tracking})
    files = {name: run.path / name for name in ("report.html", "run.json", "run.log") if (run.path / name).exists()}
    if run.record is None:
        why = run.failure or f"stopped after {run.stopped_after}"
        return TrackedRun(run.name, recipe, records, run.started, failure=why, files=files, commit=commit)
    record = RunRecord.model_validate(run.record)
    return TrackedRun.finished(recipe, records, record, files, commit)
