"""`shortlist run`: runs the compiled pipeline on this machine and collects its outputs."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from shortlist.cli.console import RunConsole
from shortlist.cli.places import Places
from shortlist.cli.run_folders import RunFolder, new_run, resume_run, write_failure, write_stopped
from shortlist.cli.runner import Runner
from shortlist.cli.signals import Terminated
from shortlist.cli.step_records import OUTPUTS
from shortlist.cli.track import track_failure
from shortlist.pipelines.errors import RunFailedError
from shortlist.recipe import Step, dump_recipe
from shortlist.serving.child import library_environment
from shortlist.serving.groups import end_group

_PATIENCE_SECONDS = {Runner.SUBPROCESS: 3.0, Runner.DOCKER: 15.0}
"""The grace period after a signal, for a library that finishes a file or an engine that stops containers."""


@dataclass(frozen=True)
class Run:
    """The outputs of a finished run."""

    folder: Path
    report: Path
    record: Path
    decision: dict[str, Any]
    """The content of decision.json: published, release, reason, and the release that is live now."""


@dataclass(frozen=True)
class RunOptions:
    """What to run, and how."""

    runner: Runner = Runner.SUBPROCESS
    forced_by: str | None = None
    """Who overrules the gate."""
    resume: RunFolder | None = None
    """The run to go on with; otherwise a new one starts."""
    taken_from: RunFolder | None = None
    """The run whose outputs a new run takes over where they did not change."""
    until: Step | None = None
    """The last step."""


def run_pipeline(places: Places, keep: int, console: Console, options: RunOptions) -> Run | None:
    """Run the pipeline in a new folder, or in that of the run to resume; None if it stopped after the step `until`.

    Of the runs before a new one, the newest `keep - 1` and the active ones are kept. Raises RunFailedError with the
    message of the failed step. No process of the run outlives this call.
    """
    if options.resume is None:
        folder, lock = new_run(places.runs, keep, options.taken_from)
    else:
        folder, lock = options.resume.path, resume_run(places.runs, options.resume)
    try:
        return _run(places, folder, lock.descriptor, console, options)
    except BaseException as error:
        why = str(error) or type(error).__name__
        if isinstance(error, KeyboardInterrupt | Terminated):
            why = _interrupted(folder, why)
            console.print(f"\n{why}", markup=False)
        console.print(f"To go on with the steps that are left: {resume_command(places, folder)}", markup=False)
        write_failure(folder, why)
        if isinstance(error, RunFailedError) and places.recipe.tracking is not None:
            track_failure(folder, why, places.recipe.tracking, places.project)
        raise
    finally:
        lock.close()


def resume_command(places: Places, folder: Path) -> str:
    """The command that resumes a run."""
    return f"shortlist run {places.file} --resume {folder.name}"


def _run(places: Places, folder: Path, lock: int, console: Console, options: RunOptions) -> Run | None:
    (folder / "recipe.yaml").write_text(dump_recipe(places.recipe), encoding="utf-8")
    command = [sys.executable, "-m", "shortlist.cli.pipeline", str(folder / "recipe.yaml"), str(folder), options.runner]
    command += ["--forced-by", options.forced_by] if options.forced_by else []
    command += ["--until", options.until] if options.until else []
    child = subprocess.Popen(
        command,
        cwd=places.project,
        stdin=subprocess.PIPE,  # closing it tells the child that this process was killed
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=library_environment() | {"PYTHONUNBUFFERED": "1"},
        pass_fds=[lock],
        start_new_session=True,
    )
    assert child.stdout is not None
    with RunConsole(folder / "run.log", console) as shown:
        try:
            shown.follow(child.stdout)
            code = child.wait()
        finally:
            end_group(child, _PATIENCE_SECONDS[options.runner])
    if code != 0 or shown.failed:
        raise RunFailedError(f"{shown.why_it_failed()}\nThe full log: {folder / 'run.log'}")
    if options.until is not None:
        write_stopped(folder, options.until)
        return None
    return _collect(folder)


def _collect(folder: Path) -> Run:
    report, record = folder / "report.html", folder / "run.json"
    outputs = folder / OUTPUTS
    shutil.copyfile(outputs / "report" / "page", report)
    aside = folder / ".run.json"
    shutil.copyfile(outputs / "report" / "run", aside)
    aside.replace(record)  # its existence marks the run as finished
    decision = _decision(folder)
    assert decision is not None
    return Run(folder, report, record, decision)


def _decision(folder: Path) -> dict[str, Any] | None:
    """The decision of the publish step, or None if the run did not reach it."""
    path = folder / OUTPUTS / "publish/decision/decision.json"
    return json.loads(path.read_text()) if path.exists() else None


def _interrupted(folder: Path, how: str) -> str:
    decision = _decision(folder)
    if decision is None and (folder / OUTPUTS / "publish").exists():
        return f"{how} during publishing; `shortlist releases list` shows which release is live. No process is left"
    if decision is not None and decision["published"]:
        return f"{how} after release {decision['release']} was published; it is live. No process is left"
    return f"{how}: nothing was published, the live release is unchanged, and no process is left"
