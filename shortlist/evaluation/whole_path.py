"""The recommendations of a run, by retrieval alone and by the whole path, from the recommender that serves.

Shapes: E queries, K listed items.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shortlist.dataset.prepared import EvaluationQueries, Prepared
from shortlist.features import FeatureStore
from shortlist.features.availability import Availability
from shortlist.progress import Progress
from shortlist.recipe import Recipe
from shortlist.recommend.lists import Recommendations
from shortlist.recommend.query import QueryBatch
from shortlist.recommend.recommender import Recommender
from shortlist.recommend.rules import Rules
from shortlist.recommend.scorer import Scorer
from shortlist.recommend.trace import Trace

_AT_ONCE = 256


class PathRecommendations(NamedTuple):
    """The recommendations of retrieval alone and of the whole path for E queries."""

    retrieved: Recommendations
    ranked: Recommendations
    """Equal to `retrieved` where there is no ranker."""
    known_E: NDArray[np.bool_]
    """Which queries the towers encoded; the others got the cold-start fallback, popularity."""


@dataclass(frozen=True)
class WholePath:
    """The recommender of a run, with its ranker in this process."""

    recommender: Recommender
    ranker: Scorer | None

    @classmethod
    def open(
        cls,
        recipe: Recipe,
        store: FeatureStore,
        retrieval: Path,
        index: Path,
        ranking: Path | None,
        *,
        threads: int,
        available: Availability | None = None,
    ) -> "WholePath":
        """The availability of items comes from `available` if given, otherwise from the store.

        Raises ValueError when an artifact is broken, or when the artifacts do not belong together.
        """
        recommender = Recommender.open(
            recipe, store, retrieval, index, ranks=ranking is not None, threads=threads, available=available
        )
        if ranking is None:
            return cls(recommender, None)
        from shortlist.ranking.ranker import Ranker  # noqa: PLC0415 -- imports torch, which retrieval alone does not need

        return cls(recommender, Ranker.open(ranking, retrieval, store))

    def recommend(self, batch: QueryBatch, k: int, trace: Trace | None = None) -> PathRecommendations:
        """The k best items of each query by retrieval alone and by the whole path, from the same candidates."""
        found = self.recommender.candidates(batch, np.full(len(batch), k), trace)
        retrieved = ranked = self.recommender.recommend(found, None)
        if self.ranker is not None:
            request = found.request
            scores = None if request is None else self.ranker.score(request)
            if trace is not None and request is not None:
                scored = int(np.count_nonzero(request.candidates_EK))
                trace.record("scorer", queries=len(request.user_E), items_in=scored, items_out=scored)
            ranked = self.recommender.recommend(found, scores, trace)
        return PathRecommendations(retrieved, ranked, found.encoded.known_E)

    def recommend_queries(
        self,
        prepared: Prepared,
        queries: EvaluationQueries,
        k: int,
        *,
        mask_seen: bool = True,
        rules: Rules | None = None,
        label: str = "",
        trace: Trace | None = None,
    ) -> PathRecommendations:
        """Like `recommend`, for the evaluation queries of a run.

        Without `mask_seen`, items of the history may be recommended even where the recipe masks them. `rules` replace
        those of the recipe. With a `label`, progress is shown.
        """
        progress = Progress(label, len(queries)) if label else None
        found = []
        for start in range(0, max(len(queries), 1), _AT_ONCE):
            part = queries.take(np.arange(start, min(start + _AT_ONCE, len(queries))))
            seen = prepared.histories(part) if mask_seen else ()
            of_part = () if rules is None else [rules] * len(part)
            found.append(self.recommend(QueryBatch(prepared.encode(part), part.time, seen, rules=of_part), k, trace))
            if progress is not None:
                progress.advance(len(part))
        retrieved, ranked, known = zip(*found, strict=True)
        return PathRecommendations(joined(retrieved), joined(ranked), np.concatenate(known))


def joined(parts: Sequence[Recommendations]) -> Recommendations:
    """The lists of all blocks of queries, in order."""
    return Recommendations(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
