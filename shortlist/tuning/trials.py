"""The trials of a study, as their folders record them.

trials/<number>/trial.json     the values
trials/<number>/epochs.jsonl   one line per epoch: its number, from 1, and the metric
trials/<number>/state.txt      how it ended; missing while it runs, and after an interruption
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMPLETE = "complete"
STOPPED = "stopped early"
INTERRUPTED = "interrupted"
_FAILED = "failed: "


@dataclass(frozen=True)
class Trial:
    """One trial and its result so far."""

    name: str
    values: Mapping[str, Any]
    """Path in the recipe -> value."""
    curve: Sequence[tuple[int, float]]
    """Epoch, from 1, and the metric of validation."""
    state: str
    """`complete`, `stopped early`, `interrupted`, or `failed: ` and why."""

    @property
    def best(self) -> float | None:
        """The metric of the best epoch."""
        return max((value for _, value in self.curve), default=None)

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to do for it; a failed trial may be tried again."""
        return self.state in (COMPLETE, STOPPED)


class TrialFolder:
    """The record of one trial."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._values, self._epochs, self._state = path / "trial.json", path / "epochs.jsonl", path / "state.txt"

    def open(self, values: Mapping[str, Any]) -> Trial:
        """What an earlier process did of the trial with these values, or a new trial."""
        if self._values.exists() and self.read().values != dict(values):
            shutil.rmtree(self.path)
        if not self._values.exists():
            self.path.mkdir(parents=True, exist_ok=True)
            draft = self._values.with_suffix(".draft")
            draft.write_text(json.dumps(values) + "\n")
            draft.replace(self._values)
        found = self.read()
        if not found.ended:
            self._state.unlink(missing_ok=True)
        return found

    def add(self, epoch: int, value: float) -> None:
        """Append an epoch."""
        with self._epochs.open("a") as file:
            file.write(json.dumps([epoch, value]) + "\n")

    def end(self, state: str) -> None:
        """Note how the trial ended, unless that is known."""
        if not self._state.exists():
            self._state.write_text(state)

    def fail(self, why: str) -> None:
        """Note that the trial failed."""
        self.end(f"{_FAILED}{why}")

    def read(self) -> Trial:
        """The trial as it is now."""
        state = self._state.read_text() if self._state.exists() else INTERRUPTED
        return Trial(self.path.name, json.loads(self._values.read_text()), self._curve(), state)

    def _curve(self) -> list[tuple[int, float]]:
        """The epochs so far; a line that was cut off by a kill is left out."""
        found = {}
        for line in self._epochs.read_text().splitlines() if self._epochs.exists() else ():
            if line.endswith("]"):
                epoch, value = json.loads(line)
                found[int(epoch)] = float(value)
        return sorted(found.items())


def read_trials(study: Path) -> list[Trial]:
    """All trials of a study, the best first."""
    folders = [path.parent for path in sorted((study / "trials").glob("*/trial.json"))]
    trials = [TrialFolder(folder).read() for folder in folders]
    return sorted(trials, key=lambda trial: -(trial.best if trial.best is not None else float("-inf")))
