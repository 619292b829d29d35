"""run.json: the machine-readable record of a run. docs/run-json.md explains its fields."""

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
    """One step of the pipeline; steps are in the order in which they ran."""

    step: str
    seconds: float
    peak_memory_mb: float
    rows_in: dict[str, int]
    rows_out: dict[str, int]
    metrics: dict[str, float | None]
    """Single numbers; null for values that are not finite."""


class Slice(BaseModel):
    queries: int
    systems: dict[str, Table]


class LiveComparison(BaseModel):
    """The previous live release, evaluated on the same queries."""

    release: str
    metrics: Table
    difference: Table
    """The whole path of this run minus the live release, paired."""
    difference_of_retrieval: Table = {}
    """Retrieval alone of this run minus the live release, paired."""
    skipped: str | None
    """Why the live release was not compared."""


class Item(BaseModel):
    id: str
    title: str = ""
    share: float | None = None
    """The share of lists that contain it, if known."""
    hit: bool | None = None
    """Whether it is a target of the user, if known."""


class ListStatistics(BaseModel):
    """Statistics of the first k items of each list; shares are of all recommended items unless noted otherwise."""

    untrained: float
    """Share of items that were never trained on."""
    one_vector: float
    """Share of items that share their vector with other items."""
    indistinct: float
    """Share of items that are both."""
    tied: float
    """Share of items with the score of another item of their list."""
    tied_lists: float
    """Share of lists with a tie."""
    longest_tie: float
    """Mean number of items in the longest tie of such a list."""
    distinct: float
    """Distinct lists, as a share of all."""
    coverage: float
    """Share of the catalogue in any list."""
    most_recommended: list[Item]


class Lists(BaseModel):
    """Statistics of the lists at the served length, for the queries that the models answered."""

    k: int
    queries: int
    by_popularity: int
    """Queries of unknown users: they get the cold-start fallback and are not part of the statistics."""
    without_history: int
    items: int
    untrained_items: float
    """Share of the catalogue."""
    one_vector_items: float
    untrained_targets: float
    """Share of untrained items among the targets."""
    systems: dict[str, ListStatistics]


class SampleUser(BaseModel):
    user: str
    history_length: int
    history: list[Item]
    """The end of the history, latest first."""
    num_targets: int
    by_popularity: bool
    lists: dict[str, list[Item]]


class Repeats(BaseModel):
    """Repeat consumption: test positives that the user already had."""

    positives: int
    """Distinct (user, item) positives of the test, targets or not."""
    repeats: int
    share: float
    masked: bool
    """Whether lists leave out seen items."""
    advice: str | None = None
    queries: int = 0
    k: int = 0
    systems: dict[str, Table] = {}
    """Metrics of users who were evaluated again with repeats as targets; empty unless many repeats are masked."""


class Sampled(BaseModel):
    """Metrics of one target among sampled negatives."""

    queries: int
    negatives: int
    """The items that are drawn for each query."""
    k: list[int]
    systems: dict[str, Table]
    differences: dict[str, Table]


class Variant(BaseModel):
    """The lists with some of the rules or candidate sources."""

    metrics: Table
    """With all targets, including those that a rule leaves out of the lists. Sources also have `candidate_recall`, the
    share of the targets among all candidates."""
    coverage: float
    """Share of the catalogue in any list."""
    diversity: float
    """1 minus the mean cosine similarity of two items of a list."""
    novelty: float
    """Mean self-information of the listed items, in bits."""
    milliseconds: float
    """Per query, in batches."""


class SourceShare(BaseModel):
    """The share of one candidate source."""

    items: float
    """Of the listed items, those that it found."""
    hits: float
    """Of the hits, those that it found."""
    hits_of_it_alone: float
    """Of the hits, those that no other source found."""


class SourceEffects(BaseModel):
    """What the candidate sources contribute, on a sample of the test queries."""

    queries: int
    k: int
    candidates: int
    """The number of candidates that the sources together give."""
    reference: str
    """The source that the others are compared with."""
    variants: dict[str, Variant]
    """Each source alone, all without one of them if there are more than two, `all`."""
    differences: dict[str, Table]
    """Variant -> its metrics minus those of the reference, paired."""
    shares: dict[str, SourceShare]
    """Source -> its share in the lists of `all`; pinned items and the fallback are sources too."""


class RuleEffects(BaseModel):
    """What the rules of the recipe change, on a sample of the test queries."""

    queries: int
    k: int
    variants: dict[str, Variant]
    """`none`, each rule alone where there are several, `all`."""
    differences: dict[str, Table]
    """Variant -> its metrics minus those of `none`, paired."""


class LabelMetrics(BaseModel):
    """The metrics by one label, over the queries that have a target of it."""

    queries: int
    targets: int
    systems: dict[str, Table]


class ObjectivePoint(BaseModel):
    """The lists by some weights of the objectives."""

    weights: dict[str, float]
    metrics: dict[str, Table]
    """Objective -> the metrics at `k`."""


class TradeOff(BaseModel):
    """The whole path while weight moves from the positives to a label, on a sample of the test queries."""

    queries: dict[str, int]
    """Objective -> the queries that have a target of it."""
    k: int
    points: list[ObjectivePoint]
    recipe: ObjectivePoint
    """By the weights of the recipe."""
    difference: dict[str, Table]
    """Objective -> the metrics with all weight on the label minus those with all weight on the positives, paired."""


class Objectives(BaseModel):
    """The metrics by the labels of the recipe."""

    weights: dict[str, float]
    """Those of the recipe."""
    labels: dict[str, LabelMetrics]
    tradeoffs: dict[str, TradeOff]
    """By label; empty without a ranker."""


class Unknowable(BaseModel):
    """Targets that are left out, since their items were not available at the time of the query."""

    targets: int
    """All targets of the test, including these."""
    unknowable: int
    share: float


class Evaluated(BaseModel):
    """The evaluation on the test queries: means with bootstrap intervals."""

    queries: int
    k: list[int]
    confidence: float = 0.95
    systems: dict[str, Table]
    coverage: dict[str, dict[str, float]] = {}
    """System -> k -> share of the catalogue in its lists."""
    slices: dict[str, Slice] = {}
    differences: dict[str, Table]
    live: LiveComparison | None
    unknowable_targets: Unknowable | None = None
    repeats: Repeats | None = None
    sampled: Sampled | None = None
    """Null unless the recipe has `evaluation.negatives`."""
    sources: SourceEffects | None = None
    """Null where the candidates come from the towers alone."""
    rules: RuleEffects | None = None
    """Null where the recipe has no rules."""
    objectives: Objectives | None = None
    """Null where the recipe has no labels."""
    lists: Lists | None = None
    sample_users: list[SampleUser] = []


class Served(BaseModel):
    """The headline: the served system, by the metric of the gate."""

    system: Literal["path", "retrieval"]
    metric: str
    value: Interval
    differences: dict[str, Interval]
    """The served system minus the live release and minus each baseline, paired."""


class RunRecord(BaseModel):
    """The content of run.json."""

    schema_version: Literal[2] = 2
    recipe: str
    description: str
    run_id: str
    finished_at: str
    """ISO 8601, UTC."""
    seconds: float
    """The sum over all steps."""
    peak_memory_mb: float
    """The maximum over all steps."""
    steps: list[Step]
    evaluation: Evaluated | None
    """Null when the run has no evaluation."""
    served: Served | None = None
    """Null without an evaluation and a decision."""
    release: str | None
    """The release of the run, published or not."""
    decision: Decision | None
    digests: Digests | None
    """Digests that must be equal for another run of the same recipe."""
    paths: dict[str, str]
    """`releases`: the root of the recommender's releases; `release`: the folder of this release if published."""


def run_record(recipe: Recipe, records: Sequence[StepRecord], run_id: str | None = None) -> RunRecord:
    """The record of a run, from the records of its steps. Raises ValueError when their details have another form."""
    now = datetime.now(UTC)
    details = {record.step: record.result.details for record in records}
    found = details.get("publish", {}).get("decision")
    decision = Decision.model_validate(found) if found is not None else None
    paths = {}
    if decision is not None:
        paths["releases"] = decision.url
        if decision.published:
            paths["release"] = f"{decision.url}/releases/{decision.release}"
    digests = details.get("publish", {}).get("digests")
    found = details.get("evaluate", {}).get("evaluation")
    evaluation = Evaluated.model_validate(finite(found)) if found is not None else None
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
    paired = {other: table[metric] for other, table in found.items() if metric in table}
    return Served(system=system, metric=metric, value=value, differences=paired)


def differences(evaluation: Evaluated, system: str, other: str) -> Table:
    """Metric -> `system` minus `other`, where one of them is the whole path or retrieval; empty if unknown."""
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
    """Plain JSON without metrics whose mean or interval is not finite (an empty slice)."""
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
