"""The path of an answer as it is served: history -> query vector -> candidates -> ranked list.

Shapes: E questions, K ranked items.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shortlist.availability import Availability
from shortlist.evaluation.baselines import Popularity
from shortlist.features import FeatureStore, Queries
from shortlist.ranking.request import RankingRequest
from shortlist.recipe import Recipe
from shortlist.retrieval.retrieve import Retriever
from shortlist.vocabulary import UNKNOWN

if TYPE_CHECKING:  # it needs torch, which a path without ranking does not
    from shortlist.ranking.ranker import Ranker


class Answers(NamedTuple):
    """Item rows, best first, 0 filling up, and their scores; the scores are NaN where the list is of what is popular,
    and where an item lies beyond what the ranker scores."""

    retrieved: NDArray[np.int64]
    """Of retrieval alone, [E, k]."""
    ranked: NDArray[np.int64]
    """Of the whole path, [E, k]."""
    retrieval_scores: NDArray[np.float32]
    ranking_scores: NDArray[np.float32]


@dataclass(frozen=True)
class WholePath:
    """The served parts of one recommender."""

    retriever: Retriever
    ranker: "Ranker | None"
    num_candidates: int
    """How many retrieved items the ranker scores."""
    popularity: Popularity
    has_profiles: bool
    """Whether the tower knows something of a user beside the history."""

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
        """When items are available says the store, or `available`.

        Raises ValueError when a part is broken or they are not of one another.
        """
        available = available or store.available
        retriever = Retriever.open(retrieval, index, store, threads=threads, available=available)
        user = store.schema.user
        has_profiles = bool(user.categorical or user.numeric or user.text or recipe.features.user.id_dim)
        popularity = Popularity(np.asarray(store.popular), available)
        if ranking is None:
            return cls(retriever, None, 0, popularity, has_profiles)
        from shortlist.ranking.ranker import Ranker  # noqa: PLC0415 -- see above

        ranker = Ranker.open(ranking, retrieval, store)
        return cls(retriever, ranker, recipe.ranking.candidates, popularity, has_profiles)

    def answer(self, queries: Queries, k: int, exclude: Sequence[NDArray[Any]], time_E: NDArray[np.int64]) -> Answers:
        """The k best items of retrieval alone and of the whole path, all of them available at the question's time.

        Where k is more than the ranker scores, the rest follows in the order of retrieval. A question of which
        nothing is known, neither a history nor the user, gets what is popular from both.
        """
        found = self._answer(queries, k, exclude, time_E)
        unknown = (queries.prefix_E == 0) & ((queries.user_E == UNKNOWN) | (not self.has_profiles))
        at = np.flatnonzero(unknown)
        if len(at):
            popular = self.popularity.rank(k, [exclude[e] for e in at.tolist()], time_E[at])
            found.retrieved[at] = found.ranked[at] = popular
            found.retrieval_scores[at] = found.ranking_scores[at] = np.nan
        return found

    def _answer(self, queries: Queries, k: int, exclude: Sequence[NDArray[Any]], time_E: NDArray[np.int64]) -> Answers:
        vectors_ED = self.retriever.embed(queries)
        rows, scores = self.retriever.search(vectors_ED, max(k, self.num_candidates), exclude, time_E)
        if self.ranker is None:
            return Answers(rows, rows, scores, scores)
        candidates, rest = rows[:, : self.num_candidates], rows[:, self.num_candidates :]
        request = RankingRequest.of(queries, vectors_ED, candidates, scores[:, : self.num_candidates])
        given = self.ranker.score(request)
        order = np.argsort(-given, axis=1, kind="stable")
        ranked = np.concatenate([np.take_along_axis(candidates, order, axis=1), rest], axis=1)
        beyond = np.full(rest.shape, np.nan, np.float32)
        ranking = np.concatenate([np.take_along_axis(given, order, axis=1), beyond], axis=1)
        return Answers(rows[:, :k], ranked[:, :k], scores[:, :k], ranking[:, :k])
