"""A service that ends with whoever started it, also when that one is killed."""

import os
import signal
import threading


def end_with_stdin() -> None:
    """Send this process SIGTERM once its standard input is closed; the starter holds the other end of the pipe."""
    threading.Thread(target=_wait, name="lifeline", daemon=True).start()


def _wait() -> None:
    # Not through sys.stdin: a thread that waits in there cannot be left when the interpreter ends.
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
