"""A process that ends with whoever started it, also when that one is killed."""

import os
import signal
import threading


def end_with_stdin(*, group: bool = False) -> None:
    """Send this process (with `group`, its process group) SIGTERM once its standard input is closed.

    The starter holds the other end of the pipe.
    """
    threading.Thread(target=_wait, args=(group,), name="parent watcher", daemon=True).start()


def _wait(group: bool) -> None:
    # Not through sys.stdin: a thread that waits in there cannot be left when the interpreter ends.
    while os.read(0, 1):
        pass
    os.kill(0 if group else os.getpid(), signal.SIGTERM)
