"""From queries to lists, in two halves: `candidates` finds what may be listed, `recommend` orders it.

Between them the caller has the candidates scored: by the ranker in this process, or by a predictor that it awaits.

Shapes: E queries, R of them with candidates that are ranked, K candidates each, D width of the query vector.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shortlist.features import FeatureStore
from shortlist.features.availability import Availability
from shortlist.recipe import Recipe
from shortlist.recommend.filters import Filter
from shortlist.recommend.filters.excluded import ExcludedFilter
from shortlist.recommend.filters.seen import SeenFilter
from shortlist.recommend.query import QueryBatch, Rows, reads_profiles
from shortlist.recommend.request import RankingRequest
from shortlist.recommend.rerankers import ReRanker, Scored
from shortlist.recommend.rerankers.top_k import TopK
from shortlist.recommend.sources import Encoded, Found, Source
from shortlist.recommend.sources.popularity import PopularitySource
from shortlist.recommend.sources.two_tower import TwoTowerSource
from shortlist.recommend.trace import Trace
from shortlist.retrieval.retrieve import Retriever

_NO_ROWS = np.zeros(0, np.int64)


class Part(NamedTuple):
    """What one source found for some of the queries."""

    source: Source
    at_A: NDArray[np.int64]
    """The queries, by their place in the batch."""
    found: Found


@dataclass(frozen=True)
class Candidates:
    """What may be listed for E queries."""

    encoded: Encoded
    k_E: NDArray[np.int64]
    parts: list[Part]
    """In the order of the sources: a list holds what the first one found, then what the next one did."""
    is_scored: bool
    """Whether there is a scorer to ask."""

    @property
    def ranked(self) -> Part | None:
        """What the scorer is to order."""
        return next((part for part in self.parts if part.source.ranked), None)

    @cached_property
    def request(self) -> RankingRequest | None:
        """What the scorer is to be asked; None when there is nothing to rank."""
        part = self.ranked
        if part is None or not self.is_scored or not part.found.rows_AK.any():
            return None
        queries = self.encoded.batch.queries
        if len(part.at_A) < len(self.k_E):
            queries = queries.take(part.at_A)
        return RankingRequest.of(queries, self.encoded.vector_ED[part.at_A], *part.found)


class Recommendations(NamedTuple):
    """Lists of E queries, best first."""

    rows_EK: NDArray[np.int64]
    """Item rows; 0 fills up."""
    scores_EK: NDArray[np.float32]
    """What each list is ordered by, never rising; -inf where the row is 0."""
    found_EK: NDArray[np.float32]
    """As the source of each item gave them: inner products, or shares of all events."""


class Recommender:
    """The stages of one release or run. Holds no state between calls, so threads may share it."""

    def __init__(
        self,
        retriever: Retriever,
        sources: Sequence[Source],
        filters: Sequence[Filter],
        rerankers: Sequence[ReRanker],
        *,
        num_ranked: int,
        profiles: bool,
    ) -> None:
        """`num_ranked` candidates are scored, 0 without a scorer; `profiles` says whether the tower reads any."""
        self.retriever = retriever
        self._sources, self._filters, self._rerankers = sources, filters, rerankers
        self._num_ranked, self._profiles = num_ranked, profiles

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
    ) -> "Recommender":
        """The stages of a recipe over an exported tower and its index; `ranks` says whether a scorer is asked.

        When items are available says the store, or `available`. Raises ValueError when a part is broken, or the parts
        are not of one another.
        """
        available = available or store.available
        retriever = Retriever.open(retrieval, index, store, threads=threads, available=available)
        return cls(
            retriever,
            [TwoTowerSource(retriever), PopularitySource(np.asarray(store.popular), available)],
            filters_of(recipe),
            rerankers_of(recipe),
            num_ranked=recipe.ranking.candidates if ranks else 0,
            profiles=reads_profiles(recipe, store.schema),
        )

    def candidates(self, batch: QueryBatch, k_E: NDArray[np.int64], trace: Trace | None = None) -> Candidates:
        """What may be listed: at least `k_E` items for each query, as long as there are so many."""
        if trace is not None:
            trace.start()
        encoded = self._encode(batch)
        dropped_E = self._dropped(batch, trace)
        count_E, parts = np.zeros(len(batch), np.int64), []
        for source in self._sources:
            at_A = np.flatnonzero(source.answers(encoded) & (count_E < k_E))
            if len(at_A) == 0:
                continue
            depth_A = k_E[at_A] - count_E[at_A]
            if source.ranked:
                depth_A = np.maximum(depth_A, self._num_ranked)
            found = source.find(encoded, at_A, depth_A, [dropped_E[e] for e in at_A.tolist()])
            if source is not self._sources[-1]:
                for e, rows in zip(at_A.tolist(), found.rows_AK, strict=True):
                    count_E[e] += np.count_nonzero(rows)
                    if count_E[e] < k_E[e]:  # the next source must not find them again
                        dropped_E[e] = np.concatenate([dropped_E[e], rows])
            parts.append(Part(source, at_A, found))
            if trace is not None:
                items = int(np.count_nonzero(found.rows_AK))
                trace.record(f"source {source.name}", queries=len(at_A), items_in=int(depth_A.sum()), items_out=items)
        return Candidates(encoded, k_E, parts, is_scored=self._num_ranked > 0)

    def recommend(
        self, candidates: Candidates, scores_RK: NDArray[np.float32] | None, trace: Trace | None = None
    ) -> Recommendations:
        """The lists, ordered by the scorer's answer to `candidates.request`; without one in the order of retrieval."""
        if trace is not None:
            trace.start()
        k_E = candidates.k_E
        shape = len(k_E), int(k_E.max(initial=0))
        lists = Recommendations(
            np.zeros(shape, np.int64), np.full(shape, -np.inf, np.float32), np.full(shape, -np.inf, np.float32)
        )
        count_E = np.zeros(len(k_E), np.int64)
        for part in candidates.parts:
            scored = Scored(part.found.rows_AK, part.found.scores_AK, part.found.scores_AK)
            if part.source.ranked:
                if scores_RK is not None:
                    scored = scored._replace(scores_AK=np.where(scored.rows_AK > 0, scores_RK, np.float32(-np.inf)))
                for reranker in self._rerankers:
                    scored = reranker.rerank(scored, k_E[part.at_A])
            _append(lists, count_E, part.at_A, scored, k_E)
        if trace is not None:
            found = sum(int(np.count_nonzero(part.found.rows_AK)) for part in candidates.parts)
            trace.record("list", queries=len(k_E), items_in=found, items_out=int(count_E.sum()))
        return lists

    def _encode(self, batch: QueryBatch) -> Encoded:
        """The query vectors of those of whom the tower knows something."""
        known_E = batch.known(reads_profiles=self._profiles)
        if known_E.all():
            return Encoded(batch, known_E, self.retriever.embed(batch.queries))
        vector_ED, at = np.zeros((len(batch), self.retriever.dim), np.float32), np.flatnonzero(known_E)
        if len(at):
            vector_ED[at] = self.retriever.embed(batch.queries.take(at))
        return Encoded(batch, known_E, vector_ED)

    def _dropped(self, batch: QueryBatch, trace: Trace | None) -> list[Rows]:
        """What each query must not get, by all filters."""
        of_filters = [(one.name, rows) for one in self._filters if len(rows := one.dropped(batch))]
        if trace is not None:
            counts = {name: sum(map(len, rows)) for name, rows in of_filters}
            trace.record("filters", queries=len(batch), items_in=0, items_out=0, dropped=counts)
        if not of_filters:
            return [_NO_ROWS] * len(batch)
        return [
            rows[0] if len(rows) == 1 else np.concatenate(rows)
            for rows in zip(*(rows for _, rows in of_filters), strict=True)
        ]


def filters_of(recipe: Recipe) -> list[Filter]:
    """The filters that a recipe asks for."""
    return [*([SeenFilter()] if recipe.evaluation.mask_seen else []), ExcludedFilter()]


def rerankers_of(_: Recipe) -> list[ReRanker]:
    """The re-rankers that a recipe asks for, in the order in which they work."""
    return [TopK()]


def _append(
    lists: Recommendations,
    count_E: NDArray[np.int64],
    at_A: NDArray[np.int64],
    scored: Scored,
    k_E: NDArray[np.int64],
) -> None:
    """Put the first items of a part behind what the lists hold, up to `k_E`."""
    for e, rows, scores, found in zip(at_A.tolist(), *scored, strict=True):
        start = int(count_E[e])
        count = min(int(np.count_nonzero(rows)), int(k_E[e]) - start)
        at = slice(start, start + count)
        lists.rows_EK[e, at], lists.found_EK[e, at] = rows[:count], found[:count]
        # Of another source: its unit is another one, and these items come after those whatever it is.
        below = lists.scores_EK[e, start - 1] if start else np.float32(np.inf)
        lists.scores_EK[e, at] = np.minimum(scores[:count], below)
        count_E[e] += count
