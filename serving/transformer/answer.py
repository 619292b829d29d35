"""From questions to candidates, and from candidates and scores to answers; no network here.

Shapes: E questions that the towers answer, K candidates each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from serving.queries import Asked, encode, stored_history, written
from serving.question import Question
from serving.release import Release
from serving.schema import Prediction, Source, Stage
from shortlist.features import Queries
from shortlist.ranking.request import RankingRequest
from shortlist.retrieval.retrieve import Retriever
from shortlist.vocabulary import UNKNOWN

_NOTHING = np.zeros(0, np.int64)
_NO_SCORES = np.zeros(0, np.float32)


@dataclass(frozen=True)
class Candidates:
    """What was found for the questions of one request."""

    questions: Sequence[Question]
    asked: Asked
    sources: list[Source]
    """For each question: `history`, `profile` (of a known or described user without one) or `popularity`."""
    rows: list[NDArray[np.int64]]
    """Item rows of each question, best first."""
    scores: list[NDArray[np.float32]]
    """Of each row, as found: inner products, or shares of the events for popularity."""
    request: RankingRequest | None
    """What the ranker is to be asked; None when there is nothing to rank."""
    ranked: list[int]
    """The questions that the ranker is asked about, in its order."""
    timings_ms: dict[Stage, float]


class Recommender:
    """Answers from one release."""

    def __init__(self, release: Release) -> None:
        self.release = release
        store, serving = release.store, release.recipe.serving
        folder = release.folder
        self._retriever = Retriever.open(folder / "retrieval", folder / "index", store, threads=serving.threads)
        popular = np.asarray(store.popular, np.float64)[1:]
        # Item rows by what is popular, the same order on every machine.
        self._popular = np.argsort(-popular, kind="stable") + 1
        self._share = np.append(0, popular / (popular.sum() or 1)).astype(np.float32)
        schema = store.schema
        self._has_profiles = bool(schema.user.categorical or schema.user.numeric or schema.user.text)
        self._has_profiles |= release.recipe.features.user.id_dim > 0

    @classmethod
    def open(cls, folder: Path) -> "Recommender":
        """Open a release's folder and ask it once. Raises ValueError when it is broken."""
        recommender = cls(Release.open(folder))
        warm = Question(k=1, history=recommender.release.store.items.values(np.array([1])))
        recommender.answers(recommender.find([warm]), None, None)
        return recommender

    def find(self, questions: Sequence[Question]) -> Candidates:
        """Features and retrieval."""
        start = perf_counter()
        release = self.release
        asked = encode(release.store, questions)
        sources = [self._source(asked, i) for i in range(len(questions))]
        dropped = [self._dropped(asked, i) for i in range(len(questions))]
        encoded = perf_counter()
        rows: list[NDArray[np.int64]] = [_NOTHING] * len(questions)
        scores: list[NDArray[np.float32]] = [_NO_SCORES] * len(questions)
        towered = [i for i, source in enumerate(sources) if source != "popularity"]
        for i in range(len(questions)):
            if sources[i] == "popularity":
                rows[i], scores[i] = self._most_popular(questions[i].k, dropped[i], int(asked.time_E[i]))
        request = None
        if towered:
            queries = asked.queries if len(towered) == len(questions) else _take(asked.queries, towered)
            depth = max(questions[i].k for i in towered)
            if release.ranks:
                depth = max(depth, release.recipe.ranking.candidates)
            vector_ED = self._retriever.embed(queries)
            rows_EK, scores_EK = self._retriever.search(
                vector_ED, depth, [dropped[i] for i in towered], asked.time_E[towered]
            )
            for i, found, inner in zip(towered, rows_EK, scores_EK, strict=True):
                count = int(np.count_nonzero(found))
                rows[i], scores[i] = found[:count], inner[:count]
            if release.ranks and rows_EK.any():
                request = RankingRequest.of(queries, vector_ED, rows_EK, scores_EK)
        timings: dict[Stage, float] = {"features": encoded - start, "retrieve": perf_counter() - encoded}
        return Candidates(
            questions, asked, sources, rows, scores, request, towered, {k: 1e3 * v for k, v in timings.items()}
        )

    def answers(
        self, found: Candidates, ranks_EK: NDArray[np.float32] | None, degraded: str | None
    ) -> list[Prediction]:
        """The predictions; without the ranker's scores in the order of retrieval."""
        final = list(found.scores)
        order: list[NDArray[np.int64] | slice] = [slice(question.k) for question in found.questions]
        if ranks_EK is not None:
            for e, i in enumerate(found.ranked):
                final[i] = ranks_EK[e, : len(found.rows[i])]
                order[i] = np.argsort(-final[i], kind="stable")[: found.questions[i].k]
        store = self.release.store
        answers: list[Prediction] = []
        for i, question in enumerate(found.questions):
            rows = found.rows[i][order[i]]
            items = zip(
                written(store, store.items.values(rows), question),
                store.titles(rows),
                final[i][order[i]].astype(np.float64).round(6).tolist(),
                found.scores[i][order[i]].astype(np.float64).round(6).tolist(),
                strict=True,
            )
            answers.append(
                {
                    "items": [
                        {"item_id": item, "title": title, "score": score, "retrieval_score": retrieved}
                        for item, title, score, retrieved in items
                    ],
                    "release": self.release.name,
                    "user": "known" if found.asked.user_E[i] else "unknown",
                    "source": found.sources[i],
                    "unknown_items": found.asked.num_unknown[i],
                    "unknown_exclude": int(np.count_nonzero(found.asked.excluded[i] == UNKNOWN)),
                    "unknown_values": found.asked.unknown_values[i],
                    "degraded": degraded if degraded and i in found.ranked else False,
                    "timings_ms": found.timings_ms,
                }
            )
        return answers

    def _source(self, asked: Asked, i: int) -> Source:
        if len(asked.histories[i]):
            return "history"
        known = asked.described[i] or (asked.user_E[i] and self._has_profiles)
        return "profile" if known else "popularity"

    def _dropped(self, asked: Asked, i: int) -> NDArray[np.int64]:
        """Item rows that must not come back."""
        away = [asked.excluded[i]] if len(asked.excluded[i]) else []
        if self.release.recipe.evaluation.mask_seen:
            away.append(asked.given[i])
            if asked.user_E[i]:
                away.append(stored_history(self.release.store, int(asked.user_E[i])))
        return np.concatenate(away) if away else _NOTHING

    def _most_popular(
        self, k: int, dropped: NDArray[np.int64], time: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """What is popular of what is available at `time`."""
        away = np.unique(dropped[dropped != UNKNOWN])
        rows, width = _NOTHING, k + len(away)
        while len(rows) < k:
            first = self._popular[:width]
            rows = first[~np.isin(first, away) & self.release.store.available.among(first, time)][:k]
            if width >= len(self._popular):
                break
            width *= 4
        return rows, self._share[rows]


def _take(queries: Queries, at: list[int]) -> Queries:
    """Some of the questions; in serving each has its own window."""
    return Queries(
        queries.history_BL[at],
        np.arange(len(at)),
        queries.prefix_E[at],
        queries.user_E[at],
        {name: rows[at] for name, rows in queries.categorical.items()},
        queries.numeric_EF[at],
    )
