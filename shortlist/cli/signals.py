"""SIGTERM and SIGHUP end a command like Ctrl-C: its child processes are ended first."""

import signal
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
_BASE = 128


class Terminated(BaseException):
    """A signal requested this process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.exit_code = _BASE + number
        """The exit code of shells for a signal."""


def end_on_signals() -> None:
    """Raise Terminated in the main thread at the first SIGTERM or SIGHUP."""
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(number, _end)


def _end(number: int, _: FrameType | None) -> None:
    # A second signal must not interrupt the cleanup.
    for one in _SIGNALS:
        signal.signal(one, signal.SIG_IGN)
    raise Terminated(number)
