"""Ends this process when its parent ends, even if the parent is killed."""

import os
import signal
import threading


def end_with_stdin(*, group: bool = False) -> None:
    """Send this process (with `group`, its process group) SIGTERM once its standard input is closed.

    The parent holds the other end of the pipe.
    """
    threading.Thread(target=_wait, args=(group,), name="parent watcher", daemon=True).start()


def _wait(group: bool) -> None:
    # Not through sys.stdin: the interpreter could not exit while a thread is blocked in it.
    while os.read(0, 1):
        pass
    os.kill(0 if group else os.getpid(), signal.SIGTERM)
