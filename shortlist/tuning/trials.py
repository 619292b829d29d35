"""The trials of a study, as their folders record them.

trials/<id>/trial.json     the values
trials/<id>/epochs.jsonl   one line per epoch: its number, from 1, and the metric
trials/<id>/state.txt      `complete`, or why it failed; missing for a trial that was stopped early
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_COMPLETE = "complete"


@dataclass(frozen=True)
class Trial:
    """One trial and its result so far."""

    name: str
    values: Mapping[str, Any]
    """Path in the recipe -> value."""
    curve: Sequence[tuple[int, float]]
    """Epoch, from 1, and the metric of validation."""
    state: str
    """`complete`, `stopped` (early, or with the study), or `failed: ` and why."""

    @property
    def best(self) -> float | None:
        """The metric of the best epoch, whose weights would be served."""
        return max((value for _, value in self.curve), default=None)


class TrialFolder:
    """The record of one trial."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self, values: Mapping[str, Any]) -> None:
        """Note the values of a trial that starts, or starts again."""
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "state.txt").unlink(missing_ok=True)
        (self.path / "trial.json").write_text(json.dumps(values) + "\n")

    def add(self, epoch: int, value: float) -> None:
        """Append an epoch."""
        with (self.path / "epochs.jsonl").open("a") as file:
            file.write(json.dumps([epoch, value]) + "\n")

    def epochs(self) -> list[tuple[int, float]]:
        """The epochs so far; a line that was cut off by a kill is left out."""
        file, found = self.path / "epochs.jsonl", {}
        for line in file.read_text().splitlines() if file.exists() else ():
            if line.endswith("]"):
                epoch, value = json.loads(line)
                found[int(epoch)] = float(value)
        return sorted(found.items())

    def end(self, why: str = _COMPLETE) -> None:
        """Note that the trial has ended."""
        (self.path / "state.txt").write_text(why)

    def read(self) -> Trial:
        state = self.path / "state.txt"
        ended = state.read_text() if state.exists() else "stopped"
        return Trial(self.path.name, json.loads((self.path / "trial.json").read_text()), self.epochs(), ended)


def read_trials(study: Path) -> list[Trial]:
    """All trials of a study, the best first."""
    folders = [path.parent for path in sorted((study / "trials").glob("*/trial.json"))]
    trials = [TrialFolder(folder).read() for folder in folders]
    return sorted(trials, key=lambda trial: -(trial.best if trial.best is not None else float("-inf")))
