"""What is logged of a run, from the records of its steps; nothing here knows MLflow but for its limits on names."""

import json
import math
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from shortlist.recipe import Recipe
from shortlist.release.manifest import Interval, Manifest
from shortlist.release.publish import Decision
from shortlist.report import RunRecord
from shortlist.step_result import StepRecord

RUN_TAG = "shortlist.run"
"""The tag with the name of a run, by which it is found again."""
FAILURE_TAG = "shortlist.failure"
_NO_PARAMETERS = {"tracking", "tune", "resources", "description"}
_LONGEST_VALUE = 6000
"""Characters of a parameter."""
_NOT_IN_A_NAME = re.compile(r"[^\w./: -]")


@dataclass(frozen=True)
class Metric:
    name: str
    value: float
    at: datetime
    step: int = 0
    """The epoch, from 1; 0 for a metric without epochs."""


@dataclass(frozen=True)
class TrackedRun:
    """A run that is to be logged."""

    name: str
    """The name of its folder, or on a cluster the id of the pipeline's run."""
    recipe: Recipe
    records: Sequence[StepRecord]
    """Those of the complete steps, in their order."""
    started: datetime
    record: RunRecord | None = None
    """None for a run that did not finish."""
    failure: str | None = None
    files: Mapping[str, Path] = field(default_factory=dict)
    """Name of an artifact -> file."""
    commit: str | None = None
    """The git commit of the project."""

    @classmethod
    def finished(
        cls,
        recipe: Recipe,
        records: Sequence[StepRecord],
        record: RunRecord,
        files: Mapping[str, Path],
        commit: str | None = None,
    ) -> "TrackedRun":
        """A run with a run.json."""
        started = datetime.fromisoformat(record.finished_at) - timedelta(seconds=record.seconds)
        return cls(record.run_id, recipe, records, started, record, files=files, commit=commit)

    @property
    def ended(self) -> datetime:
        return self.started + timedelta(seconds=sum(record.seconds for record in self.records))

    @property
    def manifest(self) -> Manifest | None:
        """The manifest of the run's release, published or not; None if the run did not make one."""
        found = self._details("publish").get("manifest")
        return None if found is None else Manifest.model_validate(found)

    @property
    def published(self) -> bool:
        return self._decision is not None and self._decision.published

    @property
    def _decision(self) -> Decision | None:
        return None if self.record is None else self.record.decision

    def parameters(self) -> dict[str, str]:
        """Path in the recipe -> value; a list is JSON."""
        fields = self.recipe.model_dump(mode="json", exclude=_NO_PARAMETERS)
        return {_name(path): _text(value)[:_LONGEST_VALUE] for path, value in _flat(fields, "")}

    def metrics(self) -> list[Metric]:
        """All finite numbers of the steps, of every epoch, and of the evaluation.

        The time of a metric is computed from the durations of the steps, so that it is the same when a run is logged
        again.
        """
        found = [*self._of_steps()]
        if self.record is not None:
            found += [Metric(name, value, self.ended) for name, value in _evaluation(self.record)]
        return [metric for metric in found if math.isfinite(metric.value)]

    def tags(self) -> dict[str, str]:
        """What identifies the run, what it was made from, and its outcome."""
        tags = {RUN_TAG: self.name, "shortlist.recipe": self.recipe.name, **self.lineage()}
        if self.recipe.description:
            tags["mlflow.note.content"] = self.recipe.description
        if self.commit is not None:
            tags["mlflow.source.git.commit"] = self.commit
        if self.failure is not None:
            tags[FAILURE_TAG] = self.failure[:_LONGEST_VALUE]
        decision = self._decision
        if decision is not None:
            tags["shortlist.published"] = str(decision.published).lower()
            tags["shortlist.outcome"] = decision.verdict.outcome
            tags["shortlist.reason"] = decision.reason
        given = self.recipe.tracking.tags if self.recipe.tracking is not None else {}
        return tags | given

    def lineage(self) -> dict[str, str]:
        """The release, and what it was made from: recipe, code and data; the release that was live before."""
        manifest, decision = self.manifest, self._decision
        if manifest is None:
            return {}
        made_from = {f"shortlist.{name}": value for name, value in manifest.lineage}
        tags = {"shortlist.release": manifest.name, **made_from}
        if decision is not None:
            tags["shortlist.releases"] = decision.url
            if decision.verdict.compared_with is not None:
                tags["shortlist.replaces"] = decision.verdict.compared_with
        return tags

    def _details(self, step: str) -> dict[str, Any]:
        return next((one.result.details for one in self.records if one.step == step), {})

    def _of_steps(self) -> Iterator[Metric]:
        at = self.started
        for record in self.records:
            details, step = record.result.details, record.step
            yield from _curves(step, details.get("curves") or {}, at)
            yield from _curves(f"{step}/refit", details.get("refit") or {}, at)
            at += timedelta(seconds=record.seconds)
            numbers = record.result.metrics | {"step_seconds": record.seconds, "step_memory_mb": record.peak_memory_mb}
            numbers |= {f"rows_in/{name}": float(count) for name, count in record.result.rows_in.items()}
            numbers |= {f"rows_out/{name}": float(count) for name, count in record.result.rows_out.items()}
            for name, value in numbers.items():
                yield Metric(_name(f"{step}/{name}"), value, at)


def commit_of(folder: Path) -> str | None:
    """The git commit of a folder; None if it is in no repository, or if there is no git."""
    command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None if found.returncode == 0 else None


def _curves(step: str, curves: Mapping[str, Sequence[float]], start: datetime) -> Iterator[Metric]:
    epochs = curves.get("epoch") or range(1, len(curves.get("loss") or ()) + 1)
    at = start
    for i, epoch in enumerate(epochs):
        seconds = curves.get("seconds")
        at += timedelta(seconds=seconds[i] if seconds else 0)
        for name, values in curves.items():
            if name != "epoch":
                shown = "epoch_seconds" if name == "seconds" else name
                yield Metric(_name(f"{step}/{shown}"), float(values[i]), at, int(epoch))


def _evaluation(run: RunRecord) -> Iterator[tuple[str, float]]:
    """The test metrics of all systems, and the served one with its interval and its differences."""
    if run.evaluation is not None:
        for system, table in run.evaluation.systems.items():
            for metric, interval in table.items():
                yield _name(f"test/{system}/{metric}"), interval.mean
    if run.served is not None:
        yield from _interval(f"served/{run.served.metric}", run.served.value)
        for other, difference in run.served.differences.items():
            yield from _interval(f"served/{run.served.metric}_minus_{other}", difference)
    yield "run/seconds", run.seconds
    yield "run/memory_mb", run.peak_memory_mb


def _interval(name: str, value: Interval) -> Iterator[tuple[str, float]]:
    for end in ("mean", "low", "high"):
        yield _name(name if end == "mean" else f"{name}_{end}"), getattr(value, end)


def _flat(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict) or not value:
        yield path, value
        return
    for key, inner in value.items():
        yield from _flat(inner, f"{path}.{key}" if path else str(key))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _name(text: str) -> str:
    """A name that MLflow accepts."""
    return _NOT_IN_A_NAME.sub("_", text)[:250]
