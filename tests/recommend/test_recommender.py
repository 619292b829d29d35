"""Every way to a list is the same way, and a list is as long as it can be."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hand_made import context_of, item_vectors, recipe_of, write_ranking, write_release, write_store
from hypothesis import given, settings
from hypothesis import strategies as st

from shortlist.answer.query import Query
from shortlist.answer.release_recommender import ReleaseRecommender
from shortlist.evaluation.whole_path import WholePath
from shortlist.features import FeatureStore
from shortlist.ranking.ranker import Ranker
from shortlist.recommend.query import QueryBatch
from shortlist.recommend.recommender import Recommender
from shortlist.recommend.trace import Trace

NUM_ITEMS, CANDIDATES = 60, 12
TIME = 3_600


class Parts:
    """A release of 60 items, every seventh of them unknown to the towers, and all that answers from it."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(5)
        histories = [rng.integers(1, NUM_ITEMS + 1, size).tolist() for size in (0, 1, 5, 30, 55)]
        recipe = recipe_of(ranking={"candidates": CANDIDATES}, serving={"max_k": 100})
        self.store: FeatureStore = write_store(folder / "store", histories, NUM_ITEMS)
        release = write_release(folder / "release", self.store, item_vectors(NUM_ITEMS), recipe)
        retrieval, index, ranking = (release / name for name in ("retrieval", "index", "ranking"))
        write_ranking(ranking, retrieval, self.store, score_weight=-1)
        np.save(retrieval / "known.npy", np.arange(NUM_ITEMS + 1) % 7 != 0)
        self.ranker = Ranker.open(ranking, retrieval, self.store)
        self.path = WholePath.open(recipe, self.store, retrieval, index, ranking, threads=1)
        self.service = ReleaseRecommender.open(release)
        self.recommender: Recommender = self.path.recommender

    def served(self, queries: list[Query], *, ranked: bool = True) -> list[list[Any]]:
        found = self.service.find(queries)
        scores = self.ranker.score(found.request) if ranked and found.request is not None else None
        return [[item["item_id"] for item in one["items"]] for one in self.service.answers(found, scores, None)]

    def batch(self, query: Query) -> QueryBatch:
        """One query, encoded as evaluation does it: by item rows of the store."""
        user = query.user_id if isinstance(query.user_id, int) and query.user_id <= 5 else 0
        starts, ends = self.store.history_bounds(np.array([user]))
        stored = self.store.history_items[starts[0] : ends[0]].astype(np.int64)
        rows = stored
        if query.history is not None:
            rows = self.store.items.rows(query.history) if query.history else stored[:0]
            rows = rows[rows > 0]
        length = np.array([len(rows)])
        encoded = self.store.queries(np.array([user]), rows, length * 0, length, context_of(1, hour=2))
        excluded = self.store.items.rows(query.exclude) if query.exclude else stored[:0]
        return QueryBatch(encoded, np.array([TIME]), [np.concatenate([rows, stored])], [excluded])

    def ids(self, rows: Any) -> list[Any]:
        return [item for item in self.store.items.values(np.asarray(rows)) if item is not None]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    return Parts(tmp_path_factory.mktemp("recommender"))


ITEM = st.integers(0, NUM_ITEMS + 5).map(lambda row: 10 * row)  # 0 and those above the catalogue are unknown
QUERY = st.builds(
    Query,
    k=st.integers(1, NUM_ITEMS + 10),
    user_id=st.none() | st.integers(1, 7),
    history=st.none() | st.lists(ITEM, max_size=12),
    exclude=st.lists(ITEM, max_size=60),
    time=st.just(TIME),
)


@settings(max_examples=150, deadline=None)
@given(queries=st.lists(QUERY, min_size=1, max_size=4))
def test_service_and_evaluation_list_the_same(parts: Parts, queries: list[Query]) -> None:
    together = parts.served(queries)
    unranked = parts.served(queries, ranked=False)
    for query, ranked, retrieved in zip(queries, together, unranked, strict=True):
        answers = parts.path.recommend(parts.batch(query), query.k)
        assert ranked == parts.ids(answers.ranked.rows_EK[0])
        assert retrieved == parts.ids(answers.retrieved.rows_EK[0])


@settings(max_examples=100, deadline=None)
@given(query=QUERY)
def test_a_list_has_k_items_whenever_there_are_k(parts: Parts, query: Query) -> None:
    batch = parts.batch(query)
    answers = parts.path.recommend(batch, query.k)
    left = NUM_ITEMS - len(set(np.concatenate([batch.seen[0], batch.excluded[0]]).tolist()) - {0})
    for lists in (answers.ranked, answers.retrieved):
        rows, scores = lists.rows_EK[0], lists.scores_EK[0]
        count = np.count_nonzero(rows)
        assert count == min(query.k, left)
        assert len(set(rows[:count].tolist())) == count
        assert not set(rows[:count].tolist()) & set(np.concatenate([batch.seen[0], batch.excluded[0]]).tolist())
        assert (scores[:count][1:] <= scores[:count][:-1]).all()
        assert np.isfinite(scores[:count]).all()
        assert np.isneginf(scores[count:]).all()


def test_all_of_a_list_that_is_longer_than_the_candidates_is_ranked(parts: Parts) -> None:
    query = Query(k=30, user_id=2, time=TIME)
    request = parts.path.recommender.candidates(parts.batch(query), np.array([30])).request
    assert request is not None
    assert request.candidates_EK.shape == (1, 30)
    short = parts.path.recommender.candidates(parts.batch(query), np.array([3])).request
    assert short is not None
    assert short.candidates_EK.shape == (1, CANDIDATES)


def test_what_the_towers_do_not_know_fills_up(parts: Parts) -> None:
    query = Query(k=NUM_ITEMS, user_id=3, time=TIME)
    found = parts.path.recommender.candidates(parts.batch(query), np.array([NUM_ITEMS]))
    towers, popular = found.parts
    assert (towers.source.name, popular.source.name) == ("two_tower", "popularity")
    assert (popular.found.rows_AK[popular.found.rows_AK > 0] % 7 == 0).all()
    rows = parts.path.recommend(parts.batch(query), NUM_ITEMS).ranked.rows_EK[0]
    known = np.count_nonzero(towers.found.rows_AK)
    assert (rows[:known] % 7 != 0).all()


def test_a_trace_tells_what_each_stage_did(parts: Parts) -> None:
    trace = Trace()
    query = Query(k=5, user_id=4, exclude=[10, 20], time=TIME)
    parts.path.recommend(parts.batch(query), 5, trace)
    parts.path.recommend(parts.batch(Query(k=5, time=TIME)), 5, trace)
    stages = trace.as_dict()
    assert list(stages) == ["filters", "source two_tower", "scorer", "top_k", "list", "source popularity"]
    assert stages["filters"]["queries"] == 2
    assert stages["filters"]["dropped"]["seen"] >= 30
    assert stages["filters"]["dropped"]["excluded"] == 2
    assert (stages["source two_tower"]["items_in"], stages["source two_tower"]["items_out"]) == (CANDIDATES, CANDIDATES)
    assert stages["source popularity"]["items_out"] == 5
    assert stages["scorer"]["items_in"] == CANDIDATES
    assert stages["list"]["items_out"] == 10
    assert trace.lines()[1].startswith(f"source two_tower: 1 queries, {CANDIDATES} of {CANDIDATES} items in ")
