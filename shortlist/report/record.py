"""run.json: what a run did, for machines. Its fields are explained in docs/run-json.md."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel

from shortlist.facts import StepRecord
from shortlist.recipe import Recipe
from shortlist.release.digests import Digests
from shortlist.release.manifest import Interval
from shortlist.release.publish import Decision

Table = dict[str, Interval]
"""Metric, like `ndcg_at_10`, -> mean and interval."""


class Step(BaseModel):
    """One step of the pipeline, in the order in which they ran."""

    step: str
    seconds: float
    peak_memory_mb: float
    rows_in: dict[str, int]
    rows_out: dict[str, int]
    metrics: dict[str, float | None]
    """Single numbers; null for one that is not finite."""


class Slice(BaseModel):
    questions: int
    systems: dict[str, Table]


class LiveComparison(BaseModel):
    """The release that was live before, on the same questions."""

    release: str
    metrics: Table
    difference: Table
    """This run minus the live release, paired."""
    skipped: str | None
    """Why it was not compared."""


class Evaluated(BaseModel):
    """The test questions: means with bootstrap intervals."""

    questions: int
    k: list[int]
    confidence: float = 0.95
    systems: dict[str, Table]
    coverage: dict[str, dict[str, float]] = {}
    """System -> k -> share of the catalogue that its lists hold."""
    slices: dict[str, Slice] = {}
    differences: dict[str, Table]
    live: LiveComparison | None


class RunRecord(BaseModel):
    """The content of run.json."""

    schema_version: Literal[1] = 1
    recipe: str
    description: str
    run_id: str
    finished_at: str
    """ISO 8601, UTC."""
    seconds: float
    """Of all steps together."""
    peak_memory_mb: float
    """Of the hungriest step."""
    steps: list[Step]
    evaluation: Evaluated | None
    """Null when the run has no evaluation."""
    release: str | None
    """The release that the run made, published or not."""
    decision: Decision | None
    digests: Digests | None
    """What another run of the same recipe must have in common with this one."""
    paths: dict[str, str]
    """`releases`: the root of the recommender's releases; `release`: this one's folder, when it was published."""


def run_record(recipe: Recipe, records: Sequence[StepRecord], run_id: str | None = None) -> RunRecord:
    """Put together what the steps told. Raises ValueError when a step told something of another form."""
    now = datetime.now(UTC)
    details = {record.step: record.facts.details for record in records}
    told = details.get("publish", {}).get("decision")
    decision = Decision.model_validate(told) if told is not None else None
    paths = {}
    if decision is not None:
        paths["releases"] = decision.url
        if decision.published:
            paths["release"] = f"{decision.url}/releases/{decision.release}"
    digests = details.get("publish", {}).get("digests")
    evaluation = details.get("evaluate", {}).get("evaluation")
    return RunRecord(
        recipe=recipe.name,
        description=recipe.description,
        run_id=run_id or now.strftime("%Y%m%d-%H%M%S"),
        finished_at=now.isoformat(timespec="seconds"),
        seconds=round(sum(record.seconds for record in records), 3),
        peak_memory_mb=max((record.peak_memory_mb for record in records), default=0.0),
        steps=[_step(record) for record in records],
        evaluation=Evaluated.model_validate(finite(evaluation)) if evaluation is not None else None,
        release=decision.release if decision is not None else None,
        decision=decision,
        digests=Digests.model_validate(digests) if digests is not None else None,
        paths=paths,
    )


def finite(value: Any) -> Any:
    """Plain JSON without what is no number: a metric whose mean is not finite (an empty slice) is left out."""
    if isinstance(value, dict):
        if "mean" in value and not all(_is_finite(value.get(key)) for key in ("mean", "low", "high")):
            return None
        kept = {key: finite(inner) for key, inner in value.items()}
        return {key: inner for key, inner in kept.items() if inner is not None or value[key] is None}
    return [finite(inner) for inner in value] if isinstance(value, list) else value


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _step(record: StepRecord) -> Step:
    return Step(
        step=record.step,
        seconds=record.seconds,
        peak_memory_mb=record.peak_memory_mb,
        rows_in=record.facts.rows_in,
        rows_out=record.facts.rows_out,
        metrics={name: value if math.isfinite(value) else None for name, value in record.facts.metrics.items()},
    )
