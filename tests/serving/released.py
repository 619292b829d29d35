"""What the tests of the services know of their release, and how they watch processes."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

NUM_ITEMS, NUM_USERS = 700, 40


def processes_about(folder: Path) -> list[str]:
    """Command lines of living processes that name a folder or work in it."""
    return [words for _, words, where in _processes() if str(folder) in words or where.is_relative_to(folder)]


def pids_of(word: str) -> list[int]:
    """Processes with this in their command line."""
    return [pid for pid, words, _ in _processes() if word in words]


def _processes() -> Iterator[tuple[int, str, Path]]:
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                yield int(process.name), words, (process / "cwd").readlink()
            except OSError:
                continue  # it has just ended


def wait_for_end(process: subprocess.Popen[str], seconds: float = 30) -> int:
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert process.returncode is not None, "still running"
    return process.returncode
