"""Progress of long work: a line every few seconds, which a terminal shows as a bar.

A step runs in a process of its own whose output is read by whoever started it (Kubeflow Pipelines, the command line),
so progress is always written as plain lines of one form; `parse` reads them back.
"""

import re
import sys
import time
from dataclasses import dataclass

_EVERY_SECONDS = 1.0
_LINE = re.compile(r"^(?P<label>[\w ,.:-]+?) +(?P<percent>\d{1,3})% (?P<done>\d+)/(?P<total>\d+)(?P<note>.*)$")


class Progress:
    """Counts to `total` and says so at most once a second, and at the end."""

    def __init__(self, label: str, total: int) -> None:
        self.label, self.total, self.done = label, max(total, 1), 0
        self._start = time.monotonic()
        self._said = self._start

    def advance(self, count: int = 1, **values: float) -> None:
        """Count on; `values` are shown beside, like `loss=2.31`."""
        self.done += count
        now = time.monotonic()
        if self.done < self.total and now - self._said < _EVERY_SECONDS:
            return
        self._said = now
        rate = self.done / max(now - self._start, 1e-9)
        shown = "".join(f" {name} {value:.4g}" for name, value in values.items())
        say(f"{self.label} {100 * self.done // self.total}% {self.done}/{self.total} {rate:.4g}/s{shown}")


@dataclass(frozen=True)
class Seen:
    """One progress line, read back."""

    label: str
    done: int
    total: int
    note: str


def parse(line: str) -> Seen | None:
    """The progress that a line tells, or None."""
    match = _LINE.match(line.strip())
    if match is None:
        return None
    return Seen(match["label"], int(match["done"]), int(match["total"]), match["note"].strip())


def explanation(lines: list[str], most: int = 15) -> str:
    """Why a step failed, from what it has said: its own message (`error: ...`), or the last lines without one."""
    said = [line.strip() for line in lines if line.strip()]
    own = [line.removeprefix("error: ") for line in said if line.startswith("error: ")]
    return "\n".join(own or said[-most:])


def say(message: str) -> None:
    """One plain line, at once."""
    sys.stdout.write(message + "\n")
    sys.stdout.flush()
