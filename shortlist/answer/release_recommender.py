"""From queries to candidates, and from candidates and scores to answers, without network access."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from shortlist.answer import page
from shortlist.answer.encode import EncodedQueries, encode, objectives_of, seen_rows, written
from shortlist.answer.query import Query
from shortlist.answer.refusal import BadRequestError
from shortlist.answer.release import Release
from shortlist.answer.response_schema import Item, Page, Prediction, Similar, Source, Stage
from shortlist.features.availability import Availability
from shortlist.features.vocabulary import UNKNOWN
from shortlist.recommend.candidates import Candidates
from shortlist.recommend.lists import Recommendations
from shortlist.recommend.query import QueryBatch
from shortlist.recommend.recommender import Recommender
from shortlist.recommend.request import RankingRequest
from shortlist.recommend.rules import RuleError, Rules
from shortlist.recommend.sources.pinned import PINNED
from shortlist.recommend.trace import Trace

_NOTHING = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Found:
    """The candidates for the queries of one request."""

    queries: Sequence[Query]
    encoded: EncodedQueries
    candidates: Candidates
    recommender: Recommender
    """The one that found the candidates, which also orders them."""
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
        recommender._warm_up(recommender._recommender)
        return recommender

    def use(self, available: Availability) -> None:
        """Answer later requests with this availability instead of the release's; those under way keep theirs.

        The new stages share the towers and the index with the old ones, but nothing that depends on the availability,
        and have answered a query before they are used.
        """
        release, used = self.release, self._recommender
        over = used.retriever.over(available)
        changed = Recommender.over(release.recipe, release.store, over, release.folder / "index", ranks=release.ranks)
        self._warm_up(changed)
        self._recommender = changed

    def _warm_up(self, recommender: Recommender) -> None:
        warm = Query(k=1, history=self.release.store.items.values(np.array([1])))
        self.answers(self._find([warm], recommender), None, None)

    def find(self, queries: Sequence[Query]) -> Found:
        """Features and retrieval."""
        return self._find(queries, self._recommender)

    def _find(self, queries: Sequence[Query], recommender: Recommender, without: NDArray[np.int64] = _NOTHING) -> Found:
        """`without` are item rows that no list may have, pinned or not."""
        start = perf_counter()
        store = self.release.store
        encoded = encode(store, queries)
        seen = seen_rows(store, encoded) if recommender.reads_seen else ()
        excluded, rules = encoded.excluded, _rules(recommender, queries, encoded)
        if len(without):
            excluded = [np.concatenate([rows, without]) for rows in excluded]
            rules = [replace(one, pins=one.pins[~np.isin(one.pins, without)]) for one in rules]
        batch = QueryBatch(
            encoded.inputs,
            encoded.time_E,
            seen,
            excluded,
            np.array(encoded.described),
            item_E=encoded.item_E,
            anchored_E=np.array(encoded.anchored),
            rules=rules,
            sources=_sources(recommender, queries),
            objective_EO=objectives_of(self.release.recipe, queries),
        )
        encoded_at = perf_counter()
        trace = Trace() if any(query.trace for query in queries) else None
        candidates = recommender.candidates(batch, page.depths(queries), trace)
        timings: dict[Stage, float] = {"features": encoded_at - start, "retrieve": perf_counter() - encoded_at}
        milliseconds = {stage: 1e3 * seconds for stage, seconds in timings.items()}
        return Found(queries, encoded, candidates, recommender, milliseconds, trace)

    def answers(self, found: Found, scores_RK: NDArray[np.float32] | None, degraded: str | None) -> list[Prediction]:
        """The predictions; without the ranker's scores, in the order of retrieval."""
        return self.predictions(found, self.lists(found, scores_RK), degraded)

    def lists(
        self, found: Found, scores_RK: NDArray[np.float32] | None, rng: np.random.Generator | None = None
    ) -> Recommendations:
        """The lists in their order; those of rows are longer than what a page shows. They explore if `rng` is given and
        the recipe explores."""
        lists = found.recommender.recommend(found.candidates, scores_RK, found.trace)
        if rng is None or not found.recommender.explores:
            return lists
        return found.recommender.explore(lists, found.candidates, rng)

    def short_row(self, found: Found, lists: Recommendations, tried: Collection[int]) -> tuple[int, Found] | None:
        """A row that shows less than it may, and the candidates that may fill it; see `page`.

        `tried` are the rows that were searched again. The candidates make one list, for `page.with_list`.
        """
        columns = page.shown(found.queries, lists)
        for e, (query, rules) in enumerate(zip(found.queries, found.candidates.encoded.rules, strict=True)):
            if query.page is None or not rules.limits or len(columns[e]) >= query.k or e in tried:
                continue
            before = page.rows_before(found.queries, lists, columns, e)
            if len(before):
                alone = replace(query, page=None, time=int(found.encoded.time_E[e]))
                return e, self._find([alone], found.recommender, before)
        return None

    def predictions(self, found: Found, lists: Recommendations, degraded: str | None) -> list[Prediction]:
        """What is answered, one a query; of rows, without what the earlier rows of their page show."""
        store, encoded = self.release.store, found.encoded
        columns = page.shown(found.queries, lists)
        explores, names = found.recommender.explores, found.recommender.source_names
        known = found.candidates.encoded.known_E.tolist()
        answers: list[Prediction] = []
        for i, (query, source) in enumerate(zip(found.queries, found.sources, strict=True)):
            at = i, columns[i]
            rows = lists.rows_EK[at]
            items = zip(
                written(store, store.items.values(rows), query),
                store.titles(rows),
                lists.scores_EK[at].astype(np.float64).round(6).tolist(),
                lists.found_EK[at].astype(np.float64).round(6).tolist(),
                lists.source_EK[at].tolist(),
                strict=True,
            )
            listed: list[Item] = [
                {
                    "item_id": item,
                    "title": title,
                    "score": score,
                    "retrieval_score": retrieved,
                    "source": names[place],
                }
                for item, title, score, retrieved, place in items
            ]
            if query.trace:
                for one, found_by in zip(listed, lists.found_by_EK[at].tolist(), strict=True):
                    one["found_by"] = [name for bit, name in enumerate(names) if found_by >> bit & 1]
            if explores:
                explored = (lists.source_EK[at] == len(names) - 1).tolist()
                for one, is_explored, propensity in zip(
                    listed, explored, lists.propensity_EK[at].tolist(), strict=True
                ):
                    one["explored"], one["propensity"] = is_explored, round(propensity, 9)
            answers.append(
                {
                    "items": listed,
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
            if query.name is not None:
                answers[-1]["name"] = query.name
            if encoded.item_E[i]:
                answers[-1]["item"] = self._similar(encoded.item_E[i : i + 1], query)
            if query.trace and found.trace is not None:
                answers[-1]["trace"] = found.trace.as_dict()
        return answers

    def _similar(self, row: NDArray[np.int64], query: Query) -> Similar:
        store = self.release.store
        return {"item_id": written(store, store.items.values(row), query)[0], "title": store.titles(row)[0]}


def paged(queries: Sequence[Query], predictions: Sequence[Prediction]) -> list[Prediction | Page]:
    """The predictions of a request, those of the rows of a page as one."""
    found: list[Prediction | Page] = []
    pages: dict[int, list[Prediction]] = {}
    for query, prediction in zip(queries, predictions, strict=True):
        if query.page is None:
            found.append(prediction)
        elif query.page in pages:
            pages[query.page].append(prediction)
        else:
            pages[query.page] = [prediction]
            found.append({"rows": pages[query.page]})
    return found


def _sources(recommender: Recommender, queries: Sequence[Query]) -> list[frozenset[str] | None]:
    """The candidate sources that each query selects. Raises BadRequestError for one that is not there."""
    names = frozenset(recommender.source_names) - {PINNED}
    for i, query in enumerate(queries):
        unknown = (query.sources or frozenset()) - names
        if unknown:
            raise BadRequestError(
                f"{query.place or f'instances[{i}]'}.sources has {min(unknown)[:60]!r}; this release has the candidate "
                f"sources {', '.join(sorted(names))}"
            )
    return [query.sources for query in queries] if any(query.sources for query in queries) else []


def _rules(recommender: Recommender, queries: Sequence[Query], encoded: EncodedQueries) -> list[Rules]:
    """The rules of each query. Raises BadRequestError for a rule that cannot be applied."""
    found = []
    for i, one in enumerate(encoded.rules):
        try:
            found.append(recommender.rules.of(one, encoded.excluded[i]))
        except RuleError as error:
            raise BadRequestError(f"{queries[i].place or f'instances[{i}]'}.rules.{error}") from None
    return found
