"""The folders of a recipe's runs: made, told apart by how they ended, and removed, but never while one runs.

A run holds a lock on `<run>/.lock`, and its pipeline with it; the operating system frees it when both have ended, in
whatever way. So what is locked is running, and what is neither locked nor has a run.json failed.
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
_GONE = ".gone-"


class State(StrEnum):
    """How a run stands."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    """Its release is live, or was when it ended."""
    REFUSED = "refused"
    """By the gate."""
    FAILED = "failed"
    """In a step, or it was ended from outside."""


@dataclass(frozen=True)
class RunFolder:
    """One run, as it stands now."""

    path: Path
    state: State
    started: datetime
    seconds: float | None
    """From start to end, or up to now; None where it was killed and nothing tells when."""
    record: dict[str, Any] | None
    """run.json of a run that came to its end."""
    failure: str
    """Why it failed."""

    @property
    def name(self) -> str:
        """The time of its start, UTC; it sorts by age."""
        return self.path.name


class RunLock:
    """Held by a run and its pipeline; `descriptor` is inherited by the latter."""

    def __init__(self, folder: Path) -> None:
        self.descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)

    def take(self) -> bool:
        """False when a run holds it."""
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """It stays locked as long as another process has it."""
        os.close(self.descriptor)


def new_run(runs: Path, keep: int) -> tuple[Path, RunLock]:
    """A locked folder for a run; of the others the oldest go, all but the newest `keep - 1` and those that run."""
    if keep < 1:
        raise ValueError(f"--keep is {keep}; keep at least 1 run, this one")
    runs.mkdir(parents=True, exist_ok=True)
    with _alone(runs):
        folder = runs / datetime.now(UTC).strftime(_NAME)
        folder.mkdir()
        lock = RunLock(folder)
        lock.take()
        others = [path for path in _folders(runs) if path != folder]
        for old in others[keep - 1 :]:
            _remove(old)
    return folder, lock


def list_runs(runs: Path) -> list[RunFolder]:
    """The newest first."""
    return [_read(folder) for folder in _folders(runs)]


def find_run(runs: Path, start: str) -> RunFolder:
    """The one run whose name starts so; `last` is the newest. Raises ValueError for none, or more than one."""
    folders = _folders(runs)
    found = folders[:1] if start == "last" else [path for path in folders if start and path.name.startswith(start)]
    if len(found) == 1:
        return _read(found[0])
    names = ", ".join(path.name for path in found or folders) or "none"
    problem = "more than one run starts with" if found else "there is no run"
    raise ValueError(f"{runs}: {problem} {start!r}; there are: {names}")


def remove_runs(runs: Path, named: Sequence[RunFolder]) -> None:
    """Remove all of them, or none where one is running: raises ValueError then."""
    with _alone(runs):
        running = [one.name for one in named if _read(one.path).state == State.RUNNING]
        if running:
            raise ValueError(f"{', '.join(running)} is running; end it first (Ctrl-C where it was started)")
        for one in named:
            _remove(one.path)


def write_failure(folder: Path, why: str) -> None:
    """Say in a run's folder why it ended before its end."""
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
        told = json.loads(record.read_text(encoding="utf-8"))
        published = (told.get("decision") or {}).get("published", False)
        state = State.SUCCEEDED if published else State.REFUSED
        return RunFolder(folder, state, started, since(record.stat().st_mtime), told, "")
    if failure.exists():
        why = failure.read_text(encoding="utf-8")
        return RunFolder(folder, State.FAILED, started, since(failure.stat().st_mtime), None, why)
    return RunFolder(folder, State.FAILED, started, None, None, "it was killed, and could not say why")


def _is_running(folder: Path) -> bool:
    if not (folder / _LOCK).exists():
        return False
    lock = RunLock(folder)
    try:
        return not lock.take()
    finally:
        lock.close()


def _remove(folder: Path) -> None:
    """Unless it runs. It disappears as a whole, whatever becomes of the deleting."""
    if _is_running(folder):
        return
    gone = folder.with_name(f"{_GONE}{folder.name}")
    folder.rename(gone)
    shutil.rmtree(gone)


@contextlib.contextmanager
def _alone(runs: Path) -> Iterator[None]:
    """One process at a time makes or removes runs; what an earlier one left half removed goes as well."""
    lock = RunLock(runs)
    try:
        fcntl.flock(lock.descriptor, fcntl.LOCK_EX)
        for left in runs.glob(f"{_GONE}*"):
            shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        lock.close()
