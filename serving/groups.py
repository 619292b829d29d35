"""Ends a child process together with all processes that it has started."""

import contextlib
import os
import signal
import subprocess
import time
from typing import Any


def end_group(process: "subprocess.Popen[Any]", seconds: float) -> None:
    """End the process group that `process` leads: SIGTERM first, SIGKILL after `seconds`."""
    for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 2.0)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        if _ends(process, patience):
            break
    process.wait()


def _ends(process: "subprocess.Popen[Any]", seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        process.poll()
        # As process 1 of a container, this process adopts orphans of the group; elsewhere it may have none to wait for.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-process.pid, os.WNOHANG)
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False
