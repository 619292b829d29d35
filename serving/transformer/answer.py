"""From queries to candidates, and from candidates and scores to answers, without network access."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import cast

import numpy as np
from numpy.typing import NDArray

from shortlist.features.vocabulary import UNKNOWN
from shortlist.recommend.candidates import Candidates
from shortlist.recommend.query import QueryBatch
from shortlist.recommend.recommender import Recommender
from shortlist.recommend.request import RankingRequest
from shortlist.recommend.rules import RuleError, Rules
from shortlist.recommend.trace import Trace
from shortlist.serving.encode import EncodedQueries, encode, objectives_of, seen_rows, written
from shortlist.serving.query import Query
from shortlist.serving.refusal import BadRequestError
from shortlist.serving.release import Release
from shortlist.serving.schema import CandidateSource, Prediction, Source, Stage


@dataclass(frozen=True)
class Found:
    """The candidates for the queries of one request."""

    queries: Sequence[Query]
    encoded: EncodedQueries
    candidates: Candidates
    timings_ms: dict[Stage, float]
    trace: Trace | None = None

    @property
    def request(self) -> RankingRequest | None:
        """The request to the ranker; None when there is nothing to rank."""
        return self.candidates.request

    @cached_property
    def sources(self) -> list[Source]:
        """For each query: `history`, `profile` (of a known or described user without one), `item` or `popularity`."""
        by_item = {
            e for part in self.candidates.parts if part.source.name == "similar_items" for e in part.at_A.tolist()
        }
        known_E = self.candidates.encoded.known_E.tolist()
        return [
            "item" if e in by_item else "popularity" if not known else "history" if len(history) else "profile"
            for e, (known, history) in enumerate(zip(known_E, self.encoded.histories, strict=True))
        ]


class ReleaseRecommender:
    """Answers queries from one release."""

    def __init__(self, release: Release) -> None:
        self.release = release
        self._masks_seen = release.recipe.evaluation.mask_seen
        self._recommender = Recommender.open(
            release.recipe,
            release.store,
            release.folder / "retrieval",
            release.folder / "index",
            ranks=release.ranks,
            threads=release.recipe.serving.threads,
        )

    @classmethod
    def open(cls, folder: Path) -> "ReleaseRecommender":
        """Open a release's folder and answer one query from it. Raises ValueError when it is broken."""
        recommender = cls(Release.open(folder))
        warm = Query(k=1, history=recommender.release.store.items.values(np.array([1])))
        recommender.answers(recommender.find([warm]), None, None)
        return recommender

    def find(self, queries: Sequence[Query]) -> Found:
        """Features and retrieval."""
        start = perf_counter()
        store = self.release.store
        encoded = encode(store, queries)
        seen = seen_rows(store, encoded) if self._masks_seen else ()
        batch = QueryBatch(
            encoded.inputs,
            encoded.time_E,
            seen,
            encoded.excluded,
            np.array(encoded.described),
            item_E=encoded.item_E,
            anchored_E=np.array(encoded.anchored),
            rules=self._rules(encoded),
            objective_EO=objectives_of(self.release.recipe, queries),
        )
        encoded_at = perf_counter()
        trace = Trace() if any(query.trace for query in queries) else None
        candidates = self._recommender.candidates(batch, np.array([query.k for query in queries]), trace)
        timings: dict[Stage, float] = {"features": encoded_at - start, "retrieve": perf_counter() - encoded_at}
        return Found(queries, encoded, candidates, {stage: 1e3 * seconds for stage, seconds in timings.items()}, trace)

    def _rules(self, encoded: EncodedQueries) -> list[Rules]:
        """The rules of each query. Raises BadRequestError for a rule that cannot be applied."""
        found = []
        for i, one in enumerate(encoded.rules):
            try:
                found.append(self._recommender.rules.of(one, encoded.excluded[i]))
            except RuleError as error:
                raise BadRequestError(f"instances[{i}].rules.{error}") from None
        return found

    def answers(self, found: Found, scores_RK: NDArray[np.float32] | None, degraded: str | None) -> list[Prediction]:
        """The predictions; without the ranker's scores, in the order of retrieval."""
        store, encoded = self.release.store, found.encoded
        lists = self._recommender.recommend(found.candidates, scores_RK, found.trace)
        names = cast(dict[int, CandidateSource], self._recommender.source_names)
        known = found.candidates.encoded.known_E.tolist()
        answers: list[Prediction] = []
        for i, (query, source) in enumerate(zip(found.queries, found.sources, strict=True)):
            rows = lists.rows_EK[i, : np.count_nonzero(lists.rows_EK[i])]
            items = zip(
                written(store, store.items.values(rows), query),
                store.titles(rows),
                lists.scores_EK[i, : len(rows)].astype(np.float64).round(6).tolist(),
                lists.found_EK[i, : len(rows)].astype(np.float64).round(6).tolist(),
                lists.source_EK[i, : len(rows)].tolist(),
                strict=True,
            )
            answers.append(
                {
                    "items": [
                        {
                            "item_id": item,
                            "title": title,
                            "score": score,
                            "retrieval_score": retrieved,
                            "source": names[place],
                        }
                        for item, title, score, retrieved, place in items
                    ],
                    "release": self.release.name,
                    "user": "known" if encoded.user_E[i] else "unknown",
                    "source": source,
                    "unknown_items": encoded.num_unknown[i],
                    "unknown_exclude": int(np.count_nonzero(encoded.excluded[i] == UNKNOWN)),
                    "unknown_rules": encoded.num_unknown_rules[i],
                    "unknown_values": encoded.unknown_values[i],
                    "degraded": degraded if degraded and known[i] else False,
                    "timings_ms": found.timings_ms,
                }
            )
            if query.trace and found.trace is not None:
                answers[-1]["trace"] = found.trace.as_dict()
        return answers
