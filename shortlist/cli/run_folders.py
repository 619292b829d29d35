"""The folders of a recipe's runs: created, listed with their states, and removed unless the run is active.

A run and its pipeline hold a lock on `<run>/.lock`; the operating system releases it when both have ended, for whatever
reason. A locked run is therefore active, and a run that is not locked and has no run.json has failed.
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

_LOCK = ".lock"
_FAILURE = "failure.txt"
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


@dataclass(frozen=True)
class RunFolder:
    """One run and its current state."""

    path: Path
    state: State
    started: datetime
    seconds: float | None
    """The duration of the run so far; None if it was killed at an unknown time."""
    record: dict[str, Any] | None
    """The content of run.json, if the run finished."""
    failure: str
    """Why the run failed."""

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


def new_run(runs: Path, keep: int) -> tuple[Path, RunLock]:
    """A locked folder for a new run; older runs except the newest `keep - 1` and the active ones are removed."""
    if keep < 1:
        raise ValueError(f"--keep is {keep}; keep at least 1 run, this one")
    runs.mkdir(parents=True, exist_ok=True)
    with _exclusive(runs):
        folder = runs / datetime.now(UTC).strftime(_NAME)
        folder.mkdir()
        lock = RunLock(folder)
        lock.take()
        others = [path for path in _folders(runs) if path != folder]
        for old in others[keep - 1 :]:
            _remove(old)
    return folder, lock


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


def _folders(runs: Path) -> list[Path]:
    if not runs.is_dir():
        return []
    found = [path for path in runs.iterdir() if _NAMED.fullmatch(path.name) and path.is_dir()]
    return sorted(found, reverse=True)


def _read(folder: Path) -> RunFolder:
    record, failure = folder / _RECORD, folder / _FAILURE
    started = datetime.strptime(folder.name, _NAME).replace(tzinfo=UTC)

    def since(end: float) -> float:
        return end - started.timestamp()

    if _is_running(folder):
        return RunFolder(folder, State.RUNNING, started, since(datetime.now(UTC).timestamp()), None, "")
    if record.exists():
        content = json.loads(record.read_text(encoding="utf-8"))
        published = (content.get("decision") or {}).get("published", False)
        state = State.SUCCEEDED if published else State.REFUSED
        return RunFolder(folder, state, started, since(record.stat().st_mtime), content, "")
    if failure.exists():
        why = failure.read_text(encoding="utf-8")
        return RunFolder(folder, State.FAILED, started, since(failure.stat().st_mtime), None, why)
    return RunFolder(folder, State.FAILED, started, None, None, "it was killed before it could write a reason")


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
