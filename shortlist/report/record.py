"""run.json: what a run did, for machines. Its fields are explained in docs/run-json.md."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel

from shortlist.recipe import Recipe
from shortlist.release.digests import Digests
from shortlist.release.manifest import Interval
from shortlist.release.publish import Decision
from shortlist.step_result import StepRecord

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
    queries: int
    systems: dict[str, Table]


class LiveComparison(BaseModel):
    """The release that was live before, on the same queries."""

    release: str
    metrics: Table
    difference: Table
    """The whole path of this run minus the live release, paired."""
    difference_of_retrieval: Table = {}
    """The same of retrieval alone."""
    skipped: str | None
    """Why it was not compared."""


class Item(BaseModel):
    id: str
    title: str = ""
    share: float | None = None
    """Of lists that hold it, where that is told."""
    hit: bool | None = None
    """Whether the user then took it, where that is told."""


class ListStatistics(BaseModel):
    """Of the first k of each list; shares are of what all lists hold together unless they are of lists."""

    untrained: float
    """Share of items that were never trained on."""
    one_vector: float
    """Share of items whose vector other items have too."""
    indistinct: float
    """Share of items that are both."""
    tied: float
    """Share of items of the same score as another one of the list."""
    tied_lists: float
    """Share of lists with a tie."""
    longest_tie: float
    """Items in the longest tie of such a list, on average."""
    distinct: float
    """Distinct lists, as a share of all."""
    coverage: float
    """Share of the catalogue in any list."""
    most_recommended: list[Item]


class Lists(BaseModel):
    """What lists of the length that is served hold, of the queries that the models answered."""

    k: int
    queries: int
    by_popularity: int
    """Queries of which nothing was known: they get what is popular, and are left out here."""
    without_history: int
    items: int
    untrained_items: float
    """Share of the catalogue."""
    one_vector_items: float
    untrained_targets: float
    """Share of untrained items among what users then took."""
    systems: dict[str, ListStatistics]


class SampleUser(BaseModel):
    user: str
    history_length: int
    history: list[Item]
    """The end of it, the latest first."""
    num_targets: int
    by_popularity: bool
    lists: dict[str, list[Item]]


class Repeats(BaseModel):
    """Whether users take again what they have."""

    positives: int
    """Distinct items that users took in the test, targets or not."""
    repeats: int
    share: float
    masked: bool
    """Whether lists leave out what a user has."""
    advice: str | None = None
    queries: int = 0
    k: int = 0
    systems: dict[str, Table] = {}
    """Of users who were asked once more with repeats as targets; empty unless repeats are many and left out."""


class Unknowable(BaseModel):
    """Targets that are left out, since their items were not available when the query was asked."""

    targets: int
    """All of the test, these among them."""
    unknowable: int
    share: float


class Evaluated(BaseModel):
    """The test queries: means with bootstrap intervals."""

    queries: int
    k: list[int]
    confidence: float = 0.95
    systems: dict[str, Table]
    coverage: dict[str, dict[str, float]] = {}
    """System -> k -> share of the catalogue that its lists hold."""
    slices: dict[str, Slice] = {}
    differences: dict[str, Table]
    live: LiveComparison | None
    unknowable_targets: Unknowable | None = None
    repeats: Repeats | None = None
    lists: Lists | None = None
    sample_users: list[SampleUser] = []


class Served(BaseModel):
    """The headline: the system that the release is, by the metric of the gate."""

    system: Literal["path", "retrieval"]
    metric: str
    value: Interval
    differences: dict[str, Interval]
    """What is served minus the live release and each baseline, paired."""


class RunRecord(BaseModel):
    """The content of run.json."""

    schema_version: Literal[2] = 2
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
    served: Served | None = None
    """Null without an evaluation and a decision."""
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
    details = {record.step: record.result.details for record in records}
    told = details.get("publish", {}).get("decision")
    decision = Decision.model_validate(told) if told is not None else None
    paths = {}
    if decision is not None:
        paths["releases"] = decision.url
        if decision.published:
            paths["release"] = f"{decision.url}/releases/{decision.release}"
    digests = details.get("publish", {}).get("digests")
    told = details.get("evaluate", {}).get("evaluation")
    evaluation = Evaluated.model_validate(finite(told)) if told is not None else None
    return RunRecord(
        recipe=recipe.name,
        description=recipe.description,
        run_id=run_id or now.strftime("%Y%m%d-%H%M%S"),
        finished_at=now.isoformat(timespec="seconds"),
        seconds=round(sum(record.seconds for record in records), 3),
        peak_memory_mb=max((record.peak_memory_mb for record in records), default=0.0),
        steps=[_step(record) for record in records],
        evaluation=evaluation,
        served=_served(evaluation, decision),
        release=decision.release if decision is not None else None,
        decision=decision,
        digests=Digests.model_validate(digests) if digests is not None else None,
        paths=paths,
    )


def _served(evaluation: Evaluated | None, decision: Decision | None) -> Served | None:
    if evaluation is None or decision is None:
        return None
    system, metric = decision.verdict.serves, decision.verdict.metric
    value = evaluation.systems.get(system, {}).get(metric)
    if value is None:
        return None
    found = {other: differences(evaluation, system, other) for other in ("live", *evaluation.systems)}
    told = {other: table[metric] for other, table in found.items() if metric in table}
    return Served(system=system, metric=metric, value=value, differences=told)


def differences(evaluation: Evaluated, system: str, other: str) -> Table:
    """Metric -> `system` minus `other`, where one of them is the whole path or retrieval; empty where nothing tells."""
    live = evaluation.live
    if other == "live":
        if live is None or live.skipped is not None:
            return {}
        return live.difference_of_retrieval if system == "retrieval" else live.difference
    turned = evaluation.differences.get(f"{other}_minus_{system}", {})
    return evaluation.differences.get(f"{system}_minus_{other}") or {
        metric: Interval(mean=0.0 - value.mean, low=0.0 - value.high, high=0.0 - value.low)
        for metric, value in turned.items()
    }


def finite(value: Any) -> Any:
    """Plain JSON without what is not a number: a metric whose mean is not finite (an empty slice) is left out."""
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
        rows_in=record.result.rows_in,
        rows_out=record.result.rows_out,
        metrics={name: value if math.isfinite(value) else None for name, value in record.result.metrics.items()},
    )
