"""The candidate sources of a recipe, in the order in which they fill a list."""

from functools import partial
from pathlib import Path
from typing import NamedTuple, assert_never

import numpy as np

from shortlist.features import FeatureStore
from shortlist.features.availability import Availability
from shortlist.recipe import Recipe
from shortlist.recipe import candidates as settings
from shortlist.recommend.exploration import Exploration
from shortlist.recommend.sources import Source
from shortlist.recommend.sources.blended import BlendedSource, Member
from shortlist.recommend.sources.given import GivenSource
from shortlist.recommend.sources.neighbours import ItemNeighboursSource
from shortlist.recommend.sources.new_items import NewItemsSource
from shortlist.recommend.sources.pinned import PinnedSource
from shortlist.recommend.sources.popularity import PopularitySource
from shortlist.recommend.sources.recent_events import recent_events, timed_events
from shortlist.recommend.sources.repeats import RepeatsSource, Weigh
from shortlist.recommend.sources.same_attribute import SameAttributeSource
from shortlist.recommend.sources.similar_items import SimilarItemsSource
from shortlist.recommend.sources.two_tower import TwoTowerSource
from shortlist.recommend.sources.user_neighbours import UserNeighboursSource
from shortlist.retrieval.retrieve import Retriever
from shortlist.statistics.item_neighbours import TABLES
from shortlist.statistics.item_statistics import ItemStatistics
from shortlist.statistics.of_sources import half_lives_of, open_for_sources

Settings = settings.CandidateSource | settings.ColdSource


class OpenedSources(NamedTuple):
    """What a recipe searches."""

    sources: list[Source]
    """Pinned items, neighbours of an item, the candidates for a user, and popularity, which fills the rest."""
    exploration: Exploration | None
    """None if the recipe has none."""


def open_sources(
    recipe: Recipe, store: FeatureStore, retriever: Retriever, folder: Path, available: Availability
) -> OpenedSources:
    """Open the sources of a recipe, whose statistics are in `folder`.

    Raises ValueError when the statistics, or the times of events that a source reads, are missing or broken.
    """
    opener = _Opener(recipe, store, retriever, available, folder)
    before: list[Source] = [PinnedSource(available), SimilarItemsSource(retriever)]
    if recipe.candidates.by_towers_alone:
        for_users: list[Source] = [TwoTowerSource(retriever)]
    else:
        for_users = [opener.blended(for_known=True), opener.blended(for_known=False)]
    return OpenedSources([*before, *for_users, opener.popularity], opener.exploration())


class _Opener:
    def __init__(
        self,
        recipe: Recipe,
        store: FeatureStore,
        retriever: Retriever,
        available: Availability,
        folder: Path,
    ) -> None:
        self._recipe, self._store, self._retriever, self._available = recipe, store, retriever, available
        self.popularity = PopularitySource(np.asarray(store.popular), available)
        self._statistics: ItemStatistics = open_for_sources(recipe, folder, store.schema.num_item_rows)
        self._opened: list[tuple[Settings, Source]] = []

    def exploration(self) -> Exploration | None:
        explore = self._recipe.candidates.explore
        if explore is None:
            return None
        return Exploration(self._source(explore.source), explore.share, explore.first - 1, explore.pool)

    def _source(self, one: Settings) -> Source:
        """The source with these settings, opened once; the weight is that of a blend."""
        key = one.model_copy(update={"weight": 1.0})
        found = next((source for of, source in self._opened if of == key), None)
        if found is None:
            found = self._open(one)
            self._opened.append((key, found))
        return found

    def blended(self, *, for_known: bool) -> BlendedSource:
        """All sources, with the weights of one kind of user; a query may select those of the other kind."""
        candidates, masks_seen = self._recipe.candidates, self._recipe.evaluation.mask_seen
        used = candidates.sources if for_known else candidates.unknown
        weights = {one.label: one.weight for one in used}
        members = [
            Member(
                self._source(one),
                weights.get(one.label, 0.0),
                masks_seen if one.mask_seen is None else one.mask_seen,
            )
            for one in [*used, *(one for one in candidates.all_sources if one.label not in weights)]
        ]
        return BlendedSource(
            "candidates" if for_known else "unknown",
            members,
            self._retriever,
            blend=candidates.blend if for_known else "quotas",
            for_known=for_known,
            masks_seen=masks_seen,
        )

    def _open(self, one: Settings) -> Source:
        name, available, statistics = one.label, self._available, self._statistics
        ordered = self._recipe.interactions.ordered
        source: Source
        match one:
            case settings.TwoTower():
                source = TwoTowerSource(self._retriever, name)
            case settings.ItemNeighbours():
                assert statistics.neighbours is not None
                table = TABLES.index(one.by)
                source = ItemNeighboursSource(statistics.neighbours, table, available, name=name, ordered=ordered)
            case settings.UserNeighbours():
                source = UserNeighboursSource(statistics.users(one.by), available, one, seed=self._recipe.seed)
            case settings.Popularity():
                source = self.popularity if name == settings.FALLBACK else self.popularity.named(name)
            case settings.Trending():
                assert statistics.recent_NR is not None
                column = half_lives_of(self._recipe).index(one.half_life)
                source = PopularitySource(statistics.recent_NR[:, column], available, name)
            case settings.NewItems():
                source = NewItemsSource(self._store.available.from_N, available, one.within, name=name)
            case settings.SameAttribute():
                values_NW = np.asarray(self._store.item_categorical[one.of])
                popularity_N = np.asarray(self._store.popularity)
                source = SameAttributeSource(values_NW, popularity_N, available, name=name, ordered=ordered)
            case settings.Repeats():
                source = RepeatsSource(available, self._weigh(one), name=name)
            case settings.GivenItems():
                source = GivenSource(self._store.items.rows(list(dict.fromkeys(one.items))), available, name=name)
            case _:
                assert_never(one)
        return source

    def _weigh(self, one: settings.Repeats) -> Weigh:
        if one.by == "events":
            return partial(recent_events, ordered=self._recipe.interactions.ordered)
        if self._store.history_times is None:
            raise ValueError(
                f"{self._store.folder}: the features have no history/times.npy, which the source {one.label!r} reads; "
                "they are of a recipe without `by: time`: run the recipe from the step prepare on"
            )
        return partial(timed_events, half_life=one.half_life)
