"""`shortlist run`: the compiled pipeline on this machine, and what it left."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from rich.console import Console

from pipelines.errors import RunFailedError
from shortlist.cli.console import RunConsole
from shortlist.recipe import Recipe, dump_recipe

_KEPT_RUNS = 3
_PATIENCE_SECONDS = 10


class Runner(StrEnum):
    """What each step runs in."""

    SUBPROCESS = "subprocess"
    """A process of its own, from the environment of the caller."""
    DOCKER = "docker"
    """A container of the pipeline's image, as in a cluster."""


@dataclass(frozen=True)
class Run:
    """What a finished run left."""

    folder: Path
    report: Path
    record: Path
    decision: dict[str, Any]
    """decision.json: published, release, reason, and what is live now."""


def run_pipeline(recipe: Recipe, work: Path, console: Console, runner: Runner, forced_by: str | None = None) -> Run:
    """Run the pipeline in a folder of its own below `work`; the oldest runs there give way.

    Raises RunFailedError with the failed step's message. Nothing of the run outlives this call.
    """
    folder = work / "runs" / recipe.name / datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
    folder.mkdir(parents=True)
    _forget_old(folder.parent)
    (folder / "recipe.yaml").write_text(dump_recipe(recipe), encoding="utf-8")
    command = [sys.executable, "-m", "shortlist.cli.pipeline", str(folder / "recipe.yaml"), str(folder), runner]
    child = subprocess.Popen(
        command + ([forced_by] if forced_by else []),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )
    assert child.stdout is not None
    with RunConsole(folder / "run.log", console) as shown:
        try:
            shown.follow(child.stdout)
            code = child.wait()
        finally:
            _end(child)
    if code != 0 or shown.failed:
        raise RunFailedError(f"{shown.why_it_failed()}\nThe whole log: {folder / 'run.log'}")
    return _collect(folder)


def _collect(folder: Path) -> Run:
    outputs = next(folder.glob("shortlist-*"))
    report, record = folder / "report.html", folder / "run.json"
    shutil.copyfile(outputs / "report" / "page", report)
    shutil.copyfile(outputs / "report" / "run", record)
    decision = json.loads((outputs / "publish" / "decision" / "decision.json").read_text())
    return Run(folder, report, record, decision)


def _end(child: subprocess.Popen[str]) -> None:
    """End what is left of the process group: the pipeline and whatever step it is in."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, sign)
        except ProcessLookupError:
            return
        try:
            child.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            continue


def _forget_old(runs: Path) -> None:
    for old in sorted(path for path in runs.iterdir() if path.is_dir())[:-_KEPT_RUNS]:
        shutil.rmtree(old)
