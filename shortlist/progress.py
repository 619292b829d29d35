"""Progress of long tasks, as one line per second at most, which a terminal shows as a bar.

A step runs in its own process. Its output is read by the process that started it (Kubeflow Pipelines or the command
line), so progress is always written as plain lines in one format; `parse` reads them back.
"""

import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

_EVERY_SECONDS = 1.0
_LINE = re.compile(r"^(?P<label>[\w ,.:-]+?) +(?P<percent>\d{1,3})% (?P<done>\d+)/(?P<total>\d+)(?P<note>.*)$")


class Progress:
    """Counts to `total` and prints a line at most once a second, and at the end."""

    def __init__(self, label: str, total: int) -> None:
        self.label, self.total, self.done = label, max(total, 1), 0
        self._start = time.monotonic()
        self._printed = self._start

    def advance(self, count: int = 1, **values: float) -> None:
        """Increase the count; `values` are shown after it, like `loss 2.31`."""
        self.done += count
        now = time.monotonic()
        if self.done < self.total and now - self._printed < _EVERY_SECONDS:
            return
        self._printed = now
        rate = self.done / max(now - self._start, 1e-9)
        shown = "".join(f" {name} {value:.4g}" for name, value in values.items())
        say(f"{self.label} {100 * self.done // self.total}% {self.done}/{self.total} {rate:.4g}/s{shown}")


@dataclass(frozen=True)
class ProgressLine:
    """One parsed progress line."""

    label: str
    done: int
    total: int
    note: str


def parse(line: str) -> ProgressLine | None:
    """The progress in a line of output, or None if it is not a progress line."""
    match = _LINE.match(line.strip())
    if match is None:
        return None
    return ProgressLine(match["label"], int(match["done"]), int(match["total"]), match["note"].strip())


def say_epoch(label: str, epoch: int, values: Mapping[str, float], *, best: bool) -> None:
    """Print the result of an epoch."""
    shown = " ".join(f"{name} {value:.6g}" for name, value in values.items())
    say(f"{label}: epoch {epoch} {shown}{' (best)' if best else ''}")


def parse_epoch(line: str, label: str) -> tuple[int, dict[str, float]] | None:
    """The epoch, from 1, and its values in a line of the training `label`; None for another line."""
    match = re.fullmatch(rf"{re.escape(label)}: epoch (\d+) (.+?)(?: \(best\))?", line.strip())
    if match is None:
        return None
    words = match[2].split()
    return int(match[1]), {name: float(value) for name, value in zip(words[::2], words[1::2], strict=True)}


def explanation(lines: list[str], most: int = 15) -> str:
    """Why a step failed, from its output: its error message (`error: ...`), or the last lines if it has none."""
    printed = [line.strip() for line in lines if line.strip()]
    errors = [line.removeprefix("error: ") for line in printed if line.startswith("error: ")]
    return "\n".join(errors or printed[-most:])


def say(message: str) -> None:
    """Print one plain line and flush it."""
    sys.stdout.write(message + "\n")
    sys.stdout.flush()
