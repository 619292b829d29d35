"""The recipe: all blocks, and the checks across blocks."""

from typing import Self

from pydantic import Field, model_validator

from shortlist.recipe.candidates import (
    Candidates,
    ItemNeighbours,
    NewItems,
    Repeats,
    SameAttribute,
    Trending,
    UserNeighbours,
)
from shortlist.recipe.data import (
    Contract,
    FilesSource,
    GivenSplit,
    Interactions,
    Source,
    Split,
    TemporalSplit,
    YambdaSource,
)
from shortlist.recipe.fields import Name, Section
from shortlist.recipe.losses import check_loss
from shortlist.recipe.metrics import METRICS
from shortlist.recipe.model import Features, Index, Ranking, Retrieval
from shortlist.recipe.resources import Resources
from shortlist.recipe.rules import Rules
from shortlist.recipe.serve import Batch, Evaluation, Gate, Publish, Serving
from shortlist.recipe.sql_source import SqlSource
from shortlist.recipe.tracking import Tracking
from shortlist.recipe.tune import Tune


class Recipe(Section):
    """One recommender."""

    name: Name
    """The name of the recommender, used for its releases, runs and service."""
    description: str = ""
    """A description for human readers."""
    seed: int = Field(42, ge=0)
    """The seed of all random numbers."""
    source: Source
    """The raw data."""
    interactions: Interactions = Interactions()
    """Which events are positives, their weights, and which events are part of a history."""
    contract: Contract = Contract()
    """The validation rules of the data."""
    split: Split
    """The split into train, validation and test."""
    features: Features = Features()
    """The features of the models."""
    retrieval: Retrieval = Retrieval()
    """The model that retrieves candidates."""
    index: Index = Index()
    """The index that candidates are searched in."""
    candidates: Candidates = Candidates()
    """The sources of the candidates."""
    ranking: Ranking = Ranking()
    """The ranker of the candidates."""
    rules: Rules = Rules()
    """Business rules of the recommendations."""
    evaluation: Evaluation = Evaluation()
    """The evaluation of the recommendations."""
    gate: Gate = Gate()
    """The conditions for a release to become live."""
    publish: Publish = Publish()
    """The storage of the releases."""
    serving: Serving = Serving()
    """The settings of serving."""
    batch: Batch | None = None
    """Lists for many users after each release; without it, none are written."""
    resources: Resources = Resources()
    """The resources of the pipeline steps."""
    tracking: Tracking | None = None
    """Runs are logged to MLflow; without it, they are not."""
    tune: Tune | None = None
    """The fields that `shortlist tune` varies; a run ignores it."""

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        rows = self.interactions.time_unit == "row"
        if rows and isinstance(self.split, TemporalSplit):
            raise ValueError("split.kind 'temporal' needs times; interactions.time_unit is 'row': use 'leave_one_out'")
        if rows and self.features.context.clock:
            raise ValueError("features.context.clock needs times; interactions.time_unit is 'row': remove the clock")
        if rows and self.retrieval.half_life:
            raise ValueError("retrieval.half_life needs times; interactions.time_unit is 'row': remove it")
        if isinstance(self.source, YambdaSource) and self.source.embeddings and self.features.item.embedding is None:
            raise ValueError(
                "source.embeddings reads the audio embeddings, but no feature uses them; add features.item.embedding, "
                "like {name: normalized_embed, dim: 128}, or remove source.embeddings"
            )
        items = self.source.items if isinstance(self.source, FilesSource | SqlSource) else None
        events = self.source.events if isinstance(self.source, SqlSource) else None
        if rows and events is not None and (events.partition or events.incremental):
            raise ValueError(
                "source.events: partition and incremental change the order of the rows, and interactions.time_unit is "
                "'row'; remove them, or give a time"
            )
        timed = [name for name in ("available_from", "available_until") if items is not None and name in items.columns]
        if rows and timed:
            raise ValueError(f"source.items.columns.{timed[0]} needs times; interactions.time_unit is 'row': remove it")
        if self.batch is not None and self.batch.k > self.serving.max_k:
            raise ValueError(
                f"batch.k {self.batch.k} is larger than serving.max_k {self.serving.max_k}; lower it, or raise max_k"
            )
        self._check_order()
        self._check_sources()
        if self.retrieval.positions == "every" and "transformer" in self.retrieval.encoders and self.retrieval.dim % 2:
            raise ValueError("retrieval.dim must be even for the transformer encoder")
        check_loss(self.retrieval.loss, self.retrieval.negatives, self.retrieval.metric)
        categories = self._categories
        for name in self.rules.at_most:
            if name not in categories:
                raise ValueError(
                    f"rules.at_most.{name} is not a category of features.item ({', '.join(categories) or 'none'}); "
                    "add it to features.item.categorical"
                )
        self._check_objective()
        metric, _, depth = self.gate.metric.rpartition("_at_")
        if metric not in METRICS or not depth.isdigit() or int(depth) not in self.evaluation.k:
            raise ValueError(
                f"gate.metric {self.gate.metric!r} is not one of {', '.join(METRICS)}, followed by _at_ and one of "
                f"evaluation.k {self.evaluation.k}, like ndcg_at_{self.evaluation.k[0]}"
            )
        return self

    @property
    def _categories(self) -> list[str]:
        return [one.name for one in self.features.item.categorical]

    def _check_sources(self) -> None:
        """Raises ValueError for candidate sources that the data or the features do not support."""
        for one in self.candidates.with_exploration:
            where = f"candidates: the source {one.label!r}"
            if isinstance(one, NewItems) and self.interactions.time_unit == "row":
                raise ValueError(f"{where} needs times; interactions.time_unit is 'row': remove it")
            if isinstance(one, Repeats) and one.by == "time" and self.interactions.time_unit == "row":
                raise ValueError(f"{where} needs times; interactions.time_unit is 'row': use by: events")
            if isinstance(one, Trending) and not isinstance(self.split, TemporalSplit):
                raise ValueError(f"{where} needs split.kind temporal, or it would know the future of the queries")
            if isinstance(one, ItemNeighbours) and one.by == "transitions" and not self.interactions.ordered:
                raise ValueError(f"{where} needs an order; interactions.ordered is false: use by: co_occurrence")
            if isinstance(one, SameAttribute) and one.of not in self._categories:
                raise ValueError(
                    f"{where}: {one.of!r} is not a category of features.item "
                    f"({', '.join(self._categories) or 'none'}); add it to features.item.categorical"
                )
            of_users = [field.name for field in self.features.user.categorical]
            if isinstance(one, UserNeighbours) and one.by is not None and one.by not in of_users:
                raise ValueError(
                    f"{where}: {one.by!r} is not a category of features.user ({', '.join(of_users) or 'none'}); "
                    "add it to features.user.categorical, with the max_values of its lists"
                )

    def _check_objective(self) -> None:
        """Raises ValueError for weights of labels that do not exist, or that are all 0."""
        weights, known = self.ranking.objective, self.interactions.objectives
        for name in weights:
            if name not in known:
                raise ValueError(
                    f"ranking.objective.{name} is not one of {', '.join(known)}; add it to interactions.labels"
                )
        if not any(weights.values()):
            raise ValueError("ranking.objective: all weights are 0; give one of them another weight, like positive: 1")

    def _check_order(self) -> None:
        """Raises ValueError for settings that data without an order, or data with one, does not support."""
        given = self.split if isinstance(self.split, GivenSplit) else None
        if self.interactions.ordered:
            if given is not None and isinstance(given.valid, float):
                raise ValueError(
                    f"split.valid {given.valid:g} samples events regardless of their time; use `last`, or set "
                    "interactions.ordered to false if the order of the events is unknown"
                )
            if self.retrieval.positions == "leave_one_out":
                raise ValueError(
                    "retrieval.positions 'leave_one_out' predicts an item from later events as well; use `last` or "
                    "`every`, or set interactions.ordered to false if the order of the events is unknown"
                )
            return
        if self.split.max_per_user is not None:
            raise ValueError(
                "split.max_per_user keeps the latest positives; interactions.ordered is false, so none is: remove it"
            )
        if isinstance(self.split, TemporalSplit):
            raise ValueError(
                "split.kind 'temporal' needs an order; interactions.ordered is false: use given or leave_one_out"
            )
        if given is not None and given.valid == "last":
            raise ValueError(
                "split.valid 'last' needs an order; interactions.ordered is false: write a share, like 0.1"
            )
        if self.interactions.time_unit != "row":
            raise ValueError("interactions.ordered is false, so there are no times: set interactions.time_unit to row")
        if self.retrieval.positions != "leave_one_out" or self.retrieval.encoders != ["mean"]:
            raise ValueError(
                f"retrieval.positions {self.retrieval.positions!r} with encoder {self.retrieval.encoder!r} needs an "
                "order; interactions.ordered is false: use positions leave_one_out and encoder mean"
            )
        if self.interactions.history is not None:
            raise ValueError("interactions.history: without an order, a history consists of the positives; remove it")
