"""The folders of a recipe's runs: created, resumed, listed with their states, and removed unless the run is active.

A run and its pipeline hold a lock on `<run>/.lock`; the operating system releases it when both have ended, for whatever
reason. A locked run is therefore active. A run that is not locked and has no run.json was stopped by `--until`, which
stopped.txt says, or has failed.
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from shortlist.cli.step_records import StepRecords

_LOCK = ".lock"
_FAILURE = "failure.txt"
_STOPPED = "stopped.txt"
_ORIGIN = "origin.json"
_RECORD = "run.json"
_NAME = "%Y%m%d-%H%M%S-%f"
_NAMED = re.compile(r"\d{8}-\d{6}-\d{6}")
_REMOVED = ".gone-"


class State(StrEnum):
    """The state of a run."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    """Its release is live, or was live when the run ended."""
    REFUSED = "refused"
    """The gate refused its release."""
    FAILED = "failed"
    """A step failed, or the run was interrupted."""
    STOPPED = "stopped"
    """It ended after the step that `--until` named."""


class Origin(BaseModel):
    """Where a run comes from."""

    taken_from: str | None = None
    """The run whose outputs it took over."""
    resumed: list[datetime] = []
    """When it was resumed."""


@dataclass(frozen=True)
class RunFolder:
    """One run and its current state."""

    path: Path
    state: State
    started: datetime
    seconds: float | None
    """The duration so far since the start, or since it was last resumed; None if it was killed at an unknown time."""
    record: dict[str, Any] | None
    """The content of run.json, if the run finished."""
    failure: str = ""
    """Why the run failed."""
    stopped_after: str = ""
    """The last step of a stopped run."""
    origin: Origin = field(default_factory=Origin)

    @property
    def name(self) -> str:
        """The start time of the run in UTC, so that names sort by age."""
        return self.path.name


class RunLock:
    """The lock of a run and its pipeline, which inherits `descriptor`."""

    def __init__(self, folder: Path) -> None:
        self.descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)

    def take(self) -> bool:
        """Try to take the lock; False if a run holds it."""
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Close this descriptor; the lock is kept as long as another process has it open."""
        os.close(self.descriptor)


def new_run(runs: Path, keep: int, taken_from: RunFolder | None = None) -> tuple[Path, RunLock]:
    """A locked folder for a new run; older runs except the newest `keep - 1` and the active ones are removed.

    With `taken_from`, it has the outputs of the complete steps of that run. Raises ValueError if that run is active.
    """
    if keep < 1:
        raise ValueError(f"--keep is {keep}; keep at least 1 run, this one")
    runs.mkdir(parents=True, exist_ok=True)
    with _exclusive(runs):
        if taken_from is not None and not taken_from.path.is_dir():
            raise ValueError(f"{taken_from.path}: the run was deleted")
        if taken_from is not None and _is_running(taken_from.path):
            raise ValueError(f"{taken_from.name} is running; wait for its end, or end it (Ctrl-C where it was started)")
        folder = runs / datetime.now(UTC).strftime(_NAME)
        folder.mkdir()
        lock = RunLock(folder)
        lock.take()
        StepRecords(folder).create()
        if taken_from is not None:
            _write_origin(folder, Origin(taken_from=taken_from.name))
            StepRecords(folder).take_over(StepRecords(taken_from.path))
        others = [path for path in _folders(runs) if path != folder]
        for old in others[keep - 1 :]:
            _remove(old)
    return folder, lock


def resume_run(runs: Path, run: RunFolder) -> RunLock:
    """Lock the folder of a run that did not finish. Raises ValueError if it is active or has finished."""
    with _exclusive(runs):
        if run.path.is_dir():
            lock = RunLock(run.path)
            if lock.take():
                return _resumed(run, lock)
            lock.close()
            raise ValueError(f"{run.name} is running; end it first (Ctrl-C where it was started)")
    raise ValueError(f"{run.path}: the run was deleted")


def _resumed(run: RunFolder, lock: RunLock) -> RunLock:
    if (run.path / _RECORD).exists():
        lock.close()
        raise ValueError(f"{run.name} has finished; a new run can take over its outputs: --from {run.name}")
    origin = _origin(run.path)
    _write_origin(run.path, origin.model_copy(update={"resumed": [*origin.resumed, datetime.now(UTC)]}))
    (run.path / _FAILURE).unlink(missing_ok=True)
    (run.path / _STOPPED).unlink(missing_ok=True)
    return lock


def list_runs(runs: Path) -> list[RunFolder]:
    """All runs, newest first."""
    return [_read(folder) for folder in _folders(runs)]


def find_run(runs: Path, start: str) -> RunFolder:
    """The run whose name begins with `start`; `last` is the newest. Raises ValueError for none, or more than one."""
    folders = _folders(runs)
    found = folders[:1] if start == "last" else [path for path in folders if start and path.name.startswith(start)]
    if len(found) == 1:
        return _read(found[0])
    names = ", ".join(path.name for path in found or folders) or "none"
    problem = "more than one run starts with" if found else "there is no run"
    raise ValueError(f"{runs}: {problem} {start!r}; there are: {names}")


def remove_runs(runs: Path, named: Sequence[RunFolder]) -> None:
    """Remove these runs. If one of them is active, none is removed and ValueError is raised."""
    with _exclusive(runs):
        running = [one.name for one in named if _read(one.path).state == State.RUNNING]
        if running:
            raise ValueError(f"{', '.join(running)} is running; end it first (Ctrl-C where it was started)")
        for one in named:
            _remove(one.path)


def write_failure(folder: Path, why: str) -> None:
    """Write the reason of a failure to the folder of the run."""
    (folder / _FAILURE).write_text(why, encoding="utf-8")


def write_stopped(folder: Path, step: str) -> None:
    """Note that the run was to end after this step."""
    (folder / _STOPPED).write_text(step, encoding="utf-8")


def start_of(folder: Path) -> datetime:
    """The start of the run in a folder, which its name says."""
    return datetime.strptime(folder.name, _NAME).replace(tzinfo=UTC)


def _origin(folder: Path) -> Origin:
    path = folder / _ORIGIN
    return Origin.model_validate_json(path.read_text(encoding="utf-8")) if path.exists() else Origin()


def _write_origin(folder: Path, origin: Origin) -> None:
    (folder / _ORIGIN).write_text(origin.model_dump_json(indent=1) + "\n", encoding="utf-8")


def _folders(runs: Path) -> list[Path]:
    if not runs.is_dir():
        return []
    found = [path for path in runs.iterdir() if _NAMED.fullmatch(path.name) and path.is_dir()]
    return sorted(found, reverse=True)


def _read(folder: Path) -> RunFolder:
    record, failure, stopped = folder / _RECORD, folder / _FAILURE, folder / _STOPPED
    started = start_of(folder)
    origin = _origin(folder)

    def run(state: State, end: Path | None, **more: Any) -> RunFolder:
        at = datetime.now(UTC).timestamp() if end is None else end.stat().st_mtime
        seconds = at - (origin.resumed or [started])[-1].timestamp()
        return RunFolder(folder, state, started, seconds, more.pop("record", None), origin=origin, **more)

    if _is_running(folder):
        return run(State.RUNNING, None)
    if record.exists():
        content = json.loads(record.read_text(encoding="utf-8"))
        published = (content.get("decision") or {}).get("published", False)
        return run(State.SUCCEEDED if published else State.REFUSED, record, record=content)
    if failure.exists():
        return run(State.FAILED, failure, failure=failure.read_text(encoding="utf-8"))
    if stopped.exists():
        return run(State.STOPPED, stopped, stopped_after=stopped.read_text(encoding="utf-8"))
    why = "it was killed before it could write a reason"
    return RunFolder(folder, State.FAILED, started, None, None, why, origin=origin)


def _is_running(folder: Path) -> bool:
    if not (folder / _LOCK).exists():
        return False
    lock = RunLock(folder)
    try:
        return not lock.take()
    finally:
        lock.close()


def _remove(folder: Path) -> None:
    """Remove a run unless it is active. The folder is renamed first, so that it disappears atomically."""
    if _is_running(folder):
        return
    removed = folder.with_name(f"{_REMOVED}{folder.name}")
    folder.rename(removed)
    shutil.rmtree(removed)


@contextlib.contextmanager
def _exclusive(runs: Path) -> Iterator[None]:
    """A lock for creating and removing runs; it also deletes what an earlier process did not finish removing."""
    lock = RunLock(runs)
    try:
        fcntl.flock(lock.descriptor, fcntl.LOCK_EX)
        for left in runs.glob(f"{_REMOVED}*"):
            shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        lock.close()
