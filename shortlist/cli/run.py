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
from shortlist.cli.run_folders import new_run, write_failure
from shortlist.cli.runner import Runner
from shortlist.cli.signals import Terminated
from shortlist.pipelines.errors import RunFailedError
from shortlist.recipe import dump_recipe
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


def run_pipeline(places: Places, keep: int, console: Console, runner: Runner, forced_by: str | None = None) -> Run:
    """Run the pipeline in a new folder; of the earlier runs, the newest `keep - 1` and the active ones are kept.

    Raises RunFailedError with the message of the failed step. No process of the run outlives this call.
    """
    folder, lock = new_run(places.runs, keep)
    try:
        return _run(places, folder, lock.descriptor, console, runner, forced_by)
    except BaseException as error:
        why = str(error) or type(error).__name__
        if isinstance(error, KeyboardInterrupt | Terminated):
            why = _interrupted(folder, why)
            console.print(f"\n{why}", markup=False)
            console.print(f"To run it again from the first step: shortlist run {places.file}", markup=False)
        write_failure(folder, why)
        raise
    finally:
        lock.close()


def _run(places: Places, folder: Path, lock: int, console: Console, runner: Runner, forced_by: str | None) -> Run:
    (folder / "recipe.yaml").write_text(dump_recipe(places.recipe), encoding="utf-8")
    command = [sys.executable, "-m", "shortlist.cli.pipeline", str(folder / "recipe.yaml"), str(folder), runner]
    child = subprocess.Popen(
        command + ([forced_by] if forced_by else []),
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
            end_group(child, _PATIENCE_SECONDS[runner])
    if code != 0 or shown.failed:
        raise RunFailedError(f"{shown.why_it_failed()}\nThe full log: {folder / 'run.log'}")
    return _collect(folder)


def _collect(folder: Path) -> Run:
    report, record = folder / "report.html", folder / "run.json"
    outputs = next(folder.glob("shortlist-*"))
    shutil.copyfile(outputs / "report" / "page", report)
    aside = folder / ".run.json"
    shutil.copyfile(outputs / "report" / "run", aside)
    aside.replace(record)  # its existence marks the run as finished
    decision = _decision(folder)
    assert decision is not None
    return Run(folder, report, record, decision)


def _decision(folder: Path) -> dict[str, Any] | None:
    """The decision of the publish step, or None if the run did not reach it."""
    for path in folder.glob("shortlist-*/publish/decision/decision.json"):
        found: dict[str, Any] = json.loads(path.read_text())
        return found
    return None


def _interrupted(folder: Path, how: str) -> str:
    decision = _decision(folder)
    if decision is None and any(folder.glob("shortlist-*/publish")):
        return f"{how} during publishing; `shortlist releases list` shows which release is live. No process is left"
    if decision is not None and decision["published"]:
        return f"{how} after release {decision['release']} was published; it is live. No process is left"
    return f"{how}: nothing was published, the live release is unchanged, and no process is left"
