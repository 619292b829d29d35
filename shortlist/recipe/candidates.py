"""The candidate sources: `candidates`, one class per kind of source."""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, model_validator

from shortlist.recipe.fields import Duration, Section

FALLBACK = "popularity"
"""The source that fills a list where the others have too few items."""
ITEM_SOURCE = "similar_items"
"""The source of lists for an item (`item_id` of a query)."""


class SourceSettings(Section):
    """What every candidate source has."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")] | None = None
    """Its name in answers and reports; the kind by default. Two sources of one kind need different names."""
    weight: PositiveFloat = 1.0
    """Its share of the candidates, relative to the other sources, or its weight in the sum of `reciprocal_rank`."""
    mask_seen: bool | None = None
    """Whether it leaves out items of the user's history; `evaluation.mask_seen` by default."""

    @property
    def label(self) -> str:
        """The name, or the kind."""
        return self.name or str(getattr(self, "kind"))  # noqa: B009 - every kind of source declares it


class TwoTower(SourceSettings):
    """The items nearest to the query vector."""

    kind: Literal["two_tower"]
    """Nearest items of the index."""


class ItemNeighbours(SourceSettings):
    """Items that are neighbours of the user's last events."""

    kind: Literal["item_neighbours"]
    """Item k-NN."""
    by: Literal["co_occurrence", "transitions"] = "co_occurrence"
    """Items of the same users, or items that follow soon after; the latter needs data with an order."""
    neighbours: int = Field(50, ge=1, le=1000)
    """The number of nearest items of each item; sources of both kinds share the largest of them."""


class UserNeighbours(SourceSettings):
    """Items of the users whose history is most similar."""

    kind: Literal["user_neighbours"]
    """User k-NN."""
    by: str | None = None
    """A category of `features.user` by which users are compared, such as the songs that they like when playlists are
    recommended; by default their events."""
    neighbours: int = Field(400, ge=1, le=1000)
    """The maximum number of nearest users."""
    reach: int | None = Field(None, ge=1)
    """Neighbours are added, nearest first, only until together they have this many items that are not in the history
    of the user; by default, all `neighbours` are used."""
    draw: int | None = Field(None, ge=1)
    """How many of these items are candidates, drawn at random for each user; by default, all are. The draw changes with
    the data and `seed`, so that each new release shows other items."""


class Popularity(SourceSettings):
    """The most popular items, like the fallback."""

    kind: Literal["popularity"]
    """Popularity."""


class Trending(SourceSettings):
    """Items with the highest time-decayed popularity."""

    kind: Literal["trending"]
    """Time-decayed popularity."""
    half_life: Annotated[Duration, Field(gt=0)] = 7 * 86_400
    """An event counts half as much as one that is later by this duration."""


class NewItems(SourceSettings):
    """The items that became available last, newest first."""

    kind: Literal["new_items"]
    """Newest items."""
    within: Annotated[Duration, Field(gt=0)] = 30 * 86_400
    """Older items are not new."""


class SameAttribute(SourceSettings):
    """Items that share a category with the user's last events, such as other songs of their artists."""

    kind: Literal["same_attribute"]
    """Items of the same category."""
    of: str
    """A category of `features.item`."""


class Repeats(SourceSettings):
    """Items of the user's own history: what they buy or play again."""

    kind: Literal["repeats"]
    """Items of the history."""
    by: Literal["events", "time"] = "events"
    """What an event is weighed by: the number of events since, or the time since, which needs data with times. With
    `time`, the ranker also reads the time since the last event of each candidate."""
    half_life: Annotated[Duration, Field(gt=0)] | None = None
    """With `by: time`, events lose half of their weight in this time besides; none by default, so that the weight falls
    with the square root of the age alone."""
    mask_seen: Literal[False] = False
    """Always false: all of its items have been seen."""

    @model_validator(mode="after")
    def _half_life_is_of_times(self) -> Self:
        if self.half_life is not None and self.by != "time":
            raise ValueError("half_life needs `by: time`; add it, or remove half_life")
        return self


class GivenItems(SourceSettings):
    """A list of items that somebody curates."""

    kind: Literal["given"]
    """A curated list."""
    items: Annotated[list[int | str], Field(min_length=1)]
    """Item ids, the most important one first."""


CandidateSource = Annotated[
    TwoTower
    | ItemNeighbours
    | UserNeighbours
    | Popularity
    | Trending
    | NewItems
    | SameAttribute
    | Repeats
    | GivenItems,
    Field(discriminator="kind"),
]
ColdSource = Annotated[Popularity | Trending | NewItems | GivenItems, Field(discriminator="kind")]
"""Sources that need neither a history nor a profile."""


class Explore(Section):
    """Shows some items that the models would not, with a known probability, to learn about them."""

    source: ColdSource = NewItems(kind="new_items")
    """Where the explored items come from."""
    share: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    """The probability that a place of a list is explored: an upper bound of the expected loss of the metric."""
    first: int = Field(3, ge=1)
    """The first place that may be explored, from 1."""
    pool: int = Field(50, ge=1, le=1000)
    """How many items of the source are drawn from, uniformly."""


class Candidates(Section):
    """Where the candidates of a list come from."""

    sources: Annotated[list[CandidateSource], Field(min_length=1, max_length=12)] = [TwoTower(kind="two_tower")]
    """The sources for users with a history or a profile. The ranker orders the candidates of all of them."""
    unknown: Annotated[list[ColdSource], Field(min_length=1, max_length=12)] = [Popularity(kind="popularity")]
    """The sources for new users and anonymous sessions, of which nothing is known; their candidates are not ranked."""
    explore: Explore | None = None
    """Exploration in the service, off by default; evaluation, the gate and batch lists never explore."""
    blend: Literal["reciprocal_rank", "quotas"] = "reciprocal_rank"
    """How the candidates of `sources` become one list. `reciprocal_rank`: by an item's weighted sum of 1 / (60 + rank)
    over the sources that found it (Cormack, Clarke and Buettcher 2009), so items that several sources find come first.
    `quotas`: each source gets its share of the list, and the others fill what it does not use. The candidates of
    `unknown` are always blended by quotas."""

    @property
    def all_sources(self) -> "list[CandidateSource | ColdSource]":
        """The sources of known and unknown users by label; a source in both lists appears once."""
        return list({one.label: one for one in [*self.unknown, *self.sources]}.values())

    @property
    def with_exploration(self) -> "list[CandidateSource | ColdSource]":
        """All sources, and that of exploration."""
        return [*self.all_sources, *([] if self.explore is None else [self.explore.source])]

    @property
    def by_towers_alone(self) -> bool:
        """Whether there is no source besides the towers and the fallback."""
        plain = Candidates()
        return self.sources == plain.sources and self.unknown == plain.unknown

    @property
    def read_times(self) -> bool:
        """Whether a source reads the times of the events of a history."""
        return any(isinstance(one, Repeats) and one.by == "time" for one in self.sources)

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        for field in ("sources", "unknown"):
            labels = [one.label for one in getattr(self, field)]
            for place, label in enumerate(labels):
                if label in labels[:place]:
                    raise ValueError(f"candidates.{field} has two sources named {label!r}: give one another `name`")
                if label in ("pinned", ITEM_SOURCE):
                    raise ValueError(f"candidates.{field}: {label!r} is the name of a built-in source; use another one")
        for cold in self.unknown:
            twin = next((one for one in self.sources if one.label == cold.label), None)
            if twin is not None and twin.model_copy(update={"weight": cold.weight}) != cold:
                raise ValueError(
                    f"candidates.unknown and candidates.sources have different sources named {cold.label!r}: "
                    "give one of them another `name`; only the weight may differ"
                )
        for one in self.all_sources:
            if one.label == FALLBACK and one.kind != FALLBACK:
                raise ValueError(f"candidates: only a source of kind {FALLBACK} may be named {FALLBACK!r}")
        return self
