"""SIGTERM and SIGHUP end a command as Ctrl-C does: what it has started is ended first."""

import signal
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
_BASE = 128


class Terminated(BaseException):
    """A signal asked this process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.exit_code = _BASE + number
        """As a shell counts."""


def end_on_signals() -> None:
    """Raise Terminated in the main thread at the first SIGTERM or SIGHUP."""
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup sets it
            signal.signal(number, _end)


def _end(number: int, _: FrameType | None) -> None:
    # A second one must not break off the clearing up.
    for one in _SIGNALS:
        signal.signal(one, signal.SIG_IGN)
    raise Terminated(number)
