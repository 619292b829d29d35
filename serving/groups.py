"""A child process and all that it has started, ended together."""

import contextlib
import os
import signal
import subprocess
import time
from typing import Any


def end_group(process: "subprocess.Popen[Any]", seconds: float) -> None:
    """End the process group that `process` leads: asked first, killed after `seconds`."""
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
        # As process 1 of a container we are the parent of what its parent left; elsewhere nothing may be ours.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-process.pid, os.WNOHANG)
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False
