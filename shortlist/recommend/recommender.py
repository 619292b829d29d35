"""From queries to lists, in two halves: `candidates` finds the candidates, `recommend` orders them.

Between them the caller has the candidates scored, by the ranker in this process or by a predictor that it awaits.

Shapes: E queries, R of them with candidates that are ranked, K candidates each, D width of the query vector.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shortlist.features import FeatureStore
from shortlist.features.availability import Availability
from shortlist.recipe import Recipe
from shortlist.recommend.candidates import Candidates, Part, num_listable
from shortlist.recommend.exploration import Exploration
from shortlist.recommend.filters import Filter
from shortlist.recommend.filters.excluded import ExcludedFilter
from shortlist.recommend.filters.seen import SeenFilter
from shortlist.recommend.lists import Recommendations, cut, side_by_side
from shortlist.recommend.query import QueryBatch, Rows, reads_profiles
from shortlist.recommend.refill import complete, refill, short_lists
from shortlist.recommend.rerankers import ReRanker
from shortlist.recommend.rerankers.at_most import AtMost
from shortlist.recommend.rerankers.boost import BoostItems
from shortlist.recommend.rerankers.diversity import Diversity
from shortlist.recommend.rerankers.top_k import TopK
from shortlist.recommend.rules import RuleBook
from shortlist.recommend.sources import Encoded, Source
from shortlist.recommend.sources.blended import BlendedSource, labels_of
from shortlist.recommend.sources.open_sources import open_sources
from shortlist.recommend.trace import Trace
from shortlist.retrieval.retrieve import Retriever

_NO_ROWS = np.zeros(0, np.int64)


class Recommender:
    """The stages of one release or run. It holds no state between calls, so threads may share it."""

    def __init__(
        self,
        retriever: Retriever,
        sources: Sequence[Source],
        filters: Sequence[Filter],
        rerankers: Sequence[ReRanker],
        *,
        rules: RuleBook,
        num_ranked: int,
        num_pool: int,
        profiles: bool,
        exploration: Exploration | None = None,
    ) -> None:
        """`num_ranked` candidates are scored, 0 without a scorer; rules that reorder a list choose from `num_pool`
        candidates; `profiles` says whether the tower reads user profiles."""
        self.retriever, self.rules = retriever, rules
        self._sources, self._filters, self._rerankers = sources, filters, rerankers
        self._num_ranked, self._num_pool, self._profiles = num_ranked, num_pool, profiles
        self._exploration = exploration
        self._num_rows = retriever.num_items + 1

    @classmethod
    def open(
        cls,
        recipe: Recipe,
        store: FeatureStore,
        retrieval: Path,
        index: Path,
        *,
        ranks: bool,
        threads: int = 1,
        available: Availability | None = None,
        statistics: Path | None = None,
    ) -> "Recommender":
        """The stages of a recipe over an exported tower and its index; `ranks` says whether a scorer is used.

        `available` replaces the item availability of the store. `statistics` is the folder of the statistics that the
        candidate sources read, if it is not that of the index. Raises ValueError when a part is broken or the parts do
        not belong together.
        """
        available = available or store.available
        retriever = Retriever.open(retrieval, index, store, threads=threads, available=available)
        return cls.over(recipe, store, retriever, statistics or index, ranks=ranks)

    @classmethod
    def over(
        cls, recipe: Recipe, store: FeatureStore, retriever: Retriever, statistics: Path, *, ranks: bool
    ) -> "Recommender":
        """The stages of a recipe over an open retriever, whose availability holds for every source.

        `statistics` is the folder of the statistics that the candidate sources read.
        """
        opened = open_sources(recipe, store, retriever, statistics, retriever.candidates.available)
        return cls(
            retriever,
            opened.sources,
            filters_of(recipe),
            rerankers_of(retriever),
            rules=RuleBook(store, recipe.rules),
            num_ranked=recipe.ranking.candidates if ranks else 0,
            num_pool=recipe.ranking.candidates,
            profiles=reads_profiles(recipe, store.schema),
            exploration=opened.exploration,
        )

    @property
    def source_names(self) -> list[str]:
        """Names of the positions in `Recommendations.source_EK`; some have the same name."""
        labels = [label for source in self._sources for label in labels_of(source)]
        return labels if self._exploration is None else [*labels, self._exploration.source.name]

    @property
    def explores(self) -> bool:
        """Whether the recipe has exploration."""
        return self._exploration is not None

    @property
    def reads_seen(self) -> bool:
        """Whether a filter or a source reads `QueryBatch.seen`."""
        blends = [source for source in self._sources if isinstance(source, BlendedSource)]
        masking = [member.masks_seen for blend in blends for member in blend.members]
        return any(masking) or any(isinstance(one, SeenFilter) for one in self._filters)

    def candidates(self, batch: QueryBatch, k_E: NDArray[np.int64], trace: Trace | None = None) -> Candidates:
        """The candidates: at least `k_E` items for each query that satisfy its rules, if there are that many."""
        if trace is not None:
            trace.start()
        encoded = self._encode(batch)
        dropped_E = self._dropped(encoded, trace)
        count_E, parts = np.zeros(len(batch), np.int64), []
        for source in self._sources:
            at_A = np.flatnonzero(source.answers(encoded) & (count_E < k_E))
            if len(at_A) == 0:
                continue
            depth_A = k_E[at_A] - count_E[at_A]
            depth_A = np.maximum(depth_A, self._pool(source, encoded, at_A))
            dropped = [dropped_E[e] for e in at_A.tolist()]
            found = source.find(encoded, at_A, depth_A, dropped)
            parts.append(Part(source, at_A, found))
            if source.searches:
                parts[-1] = complete(encoded, parts, k_E, dropped, self._num_rows)
            count_E[at_A] = num_listable(encoded, parts, at_A, k_E)
            if source is not self._sources[-1]:
                for e, rows in zip(at_A.tolist(), parts[-1].found.rows_AK, strict=True):
                    if count_E[e] < k_E[e]:  # the next source must not return them again
                        dropped_E[e] = np.concatenate([dropped_E[e], rows])
            if trace is not None:
                items = int(np.count_nonzero(parts[-1].found.rows_AK))
                trace.record(f"source {source.name}", queries=len(at_A), items_in=int(depth_A.sum()), items_out=items)
        return Candidates(encoded, k_E, parts, is_scored=self._num_ranked > 0)

    def _pool(self, source: Source, encoded: Encoded, at_A: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number of candidates that each query needs for scoring or reordering, independently of its list length."""
        if not source.searches:
            return np.zeros(len(at_A), np.int64)
        scored = self._num_ranked if source.ranked else 0
        return np.array([self._num_pool if encoded.rules[e].reorders else scored for e in at_A.tolist()], np.int64)

    def recommend(
        self, candidates: Candidates, scores_RK: NDArray[np.float32] | None, trace: Trace | None = None
    ) -> Recommendations:
        """The lists, ordered by the scores for `candidates.request`; without scores, in the order of retrieval."""
        if trace is not None:
            trace.start()
        k_E, rules = candidates.k_E, candidates.encoded.rules
        before = side_by_side(candidates, self._sources, scores_RK)
        scored = before.scored
        found = int(np.count_nonzero(scored.rows_EK)) if trace is not None else 0
        for reranker in self._rerankers:
            listed = int(np.count_nonzero(scored.rows_EK)) if trace is not None else 0
            needs_E = [reranker.applies(one) for one in rules]
            if all(needs_E):
                scored = reranker.rerank(scored, k_E, rules)
            elif any(needs_E):
                at = np.flatnonzero(needs_E)
                scored.put(at, reranker.rerank(scored.of(at), k_E[at], [rules[e] for e in at.tolist()]))
            if trace is not None and any(needs_E):
                left = int(np.count_nonzero(scored.rows_EK))
                trace.record(reranker.name, queries=sum(needs_E), items_in=listed, items_out=left)
        lists = cut(scored, k_E, before)
        if short := short_lists(lists, candidates):
            refill(lists, short, candidates, self._sources, self._dropped(candidates.encoded), self._num_rows)
        if trace is not None:
            trace.record("list", queries=len(k_E), items_in=found, items_out=int(np.count_nonzero(lists.rows_EK)))
        return lists

    def explore(self, lists: Recommendations, candidates: Candidates, rng: np.random.Generator) -> Recommendations:
        """The lists with some explored items; the recipe must have exploration."""
        assert self._exploration is not None
        encoded = candidates.encoded
        pool = self._exploration.find(encoded, self._dropped(encoded))
        return self._exploration.explore(lists, pool, encoded.rules, len(self.source_names) - 1, rng)

    def _encode(self, batch: QueryBatch) -> Encoded:
        """The batch with the query vectors of the known queries."""
        rules = batch.rules or [self.rules.of(None)] * len(batch)
        known_E = batch.known(reads_profiles=self._profiles)
        if len(batch.anchored_E):
            known_E = known_E & ~batch.anchored_E
        if known_E.all():
            return Encoded(batch, known_E, self.retriever.embed(batch.queries), rules)
        vector_ED, at = np.zeros((len(batch), self.retriever.dim), np.float32), np.flatnonzero(known_E)
        if len(at):
            vector_ED[at] = self.retriever.embed(batch.queries.take(at))
        return Encoded(batch, known_E, vector_ED, rules)

    def _dropped(self, encoded: Encoded, trace: Trace | None = None) -> list[Rows]:
        """The items that the filters drop for each query; the masks of rules are applied in the searches."""
        batch = encoded.batch
        of_filters: list[tuple[str, Sequence[Rows]]] = [
            (one.name, rows) for one in self._filters if len(rows := one.dropped(batch))
        ]
        if batch.anchored_E.any():  # an item is not its own neighbour
            of_filters.append(("item", list(batch.item_E[:, None])))
        if trace is not None:
            counts = {name: sum(map(len, rows)) for name, rows in of_filters}
            masks = [one.mask for one in encoded.rules if one.mask is not None]
            if masks:
                counts["where"] = sum(self.retriever.num_items - mask.count for mask in masks)
            trace.record("filters", queries=len(batch), items_in=0, items_out=0, dropped=counts)
        if not of_filters:
            return [_NO_ROWS] * len(batch)
        return [
            rows[0] if len(rows) == 1 else np.concatenate(rows)
            for rows in zip(*(rows for _, rows in of_filters), strict=True)
        ]


def filters_of(recipe: Recipe) -> list[Filter]:
    """The filters of a recipe."""
    return [*([SeenFilter()] if recipe.evaluation.mask_seen else []), ExcludedFilter()]


def rerankers_of(retriever: Retriever) -> list[ReRanker]:
    """All re-rankers in the order of their application; the rules of a query decide which of them it needs."""
    return [BoostItems(), TopK(), Diversity(retriever), AtMost()]
