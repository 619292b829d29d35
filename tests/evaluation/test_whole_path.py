"""The evaluation answers as the services do."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hand_made import context_of, item_vectors, recipe_of, write_ranking, write_release, write_store
from hypothesis import given, settings
from hypothesis import strategies as st

from shortlist.answer.query import Query
from shortlist.answer.release_recommender import ReleaseRecommender
from shortlist.evaluation.whole_path import WholePath
from shortlist.features.availability import ALWAYS, FOREVER, Availability
from shortlist.ranking.ranker import Ranker
from shortlist.recommend.query import QueryBatch

NUM_ITEMS = 80


@pytest.mark.parametrize("ranks", [True, False])
@pytest.mark.parametrize("mask_seen", [True, False])
def test_evaluation_and_service_give_the_same_answers(tmp_path: Path, ranks: bool, mask_seen: bool) -> None:
    rng = np.random.default_rng(0)
    histories = [rng.integers(1, NUM_ITEMS + 1, size).tolist() for size in (0, 1, 4, 6, 9, 40)]
    recipe = recipe_of(ranking={"candidates": 20}, evaluation={"mask_seen": mask_seen})
    store = write_store(tmp_path / "store", histories, NUM_ITEMS)
    release = write_release(tmp_path / "release", store, item_vectors(NUM_ITEMS), recipe)
    ranking = release / "ranking"
    write_ranking(ranking, release / "retrieval", store, score_weight=-1)
    if not ranks:
        shutil.rmtree(ranking)
    user_E = np.arange(len(histories)) + 1
    starts, ends = store.history_bounds(user_E)
    context = context_of(len(user_E), hour=2)
    queries = store.queries(user_E, store.history_items, starts, ends, context)
    seen = [np.array(one, np.int64) for one in histories]
    path = WholePath.open(
        recipe, store, release / "retrieval", release / "index", ranking if ranks else None, threads=1
    )
    answers = path.recommend(QueryBatch(queries, np.full(len(user_E), 3_600), seen), 10).ranked.rows_EK

    recommender = ReleaseRecommender.open(release)
    found = recommender.find([Query(k=10, user_id=int(user), time=3_600) for user in user_E])
    scores = None
    if ranks:
        assert found.request is not None
        scores = Ranker.open(ranking, release / "retrieval", store).score(found.request)
    served = [[item["item_id"] for item in one["items"]] for one in recommender.answers(found, scores, None)]
    assert served == [[item for item in store.items.values(rows) if item is not None] for rows in answers]


@pytest.fixture(scope="module")
def churning(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, WholePath, ReleaseRecommender]:
    """A release whose items come and go from 0 to 100, and the two that answer from it."""
    folder, rng = tmp_path_factory.mktemp("churning"), np.random.default_rng(3)
    histories = [rng.integers(1, NUM_ITEMS + 1, size).tolist() for size in (0, 1, 4, 9, 40)]
    from_N = np.where(rng.random(NUM_ITEMS + 1) < 0.2, ALWAYS, rng.integers(0, 80, NUM_ITEMS + 1))
    until_N = np.where(rng.random(NUM_ITEMS + 1) < 0.5, FOREVER, from_N.clip(0) + rng.integers(0, 60, NUM_ITEMS + 1))
    recipe = recipe_of(ranking={"candidates": 20})
    store = write_store(folder / "store", histories, NUM_ITEMS, available=Availability(from_N, until_N))
    release = write_release(folder / "release", store, item_vectors(NUM_ITEMS), recipe)
    parts = release / "retrieval", release / "index"
    write_ranking(release / "ranking", release / "retrieval", store, score_weight=-1)
    np.save(release / "retrieval/known.npy", np.arange(NUM_ITEMS + 1) % 9 != 0)
    return (
        release,
        WholePath.open(recipe, store, *parts, release / "ranking", threads=1),
        ReleaseRecommender.open(release),
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(-10, 150)), min_size=1, max_size=6), st.integers(1, 20))
def test_at_any_time_no_list_holds_what_is_not_there_and_both_give_the_same(
    churning: tuple[Path, WholePath, ReleaseRecommender], asked: list[tuple[int, int]], k: int
) -> None:
    release, path, recommender = churning
    store = recommender.release.store
    user_E, time_E = (np.array(column) for column in zip(*asked, strict=True))
    starts, ends = store.history_bounds(user_E)
    hour = store.context({}, np.maximum(time_E, 0))
    exclude = [store.history_items[a:b] for a, b in zip(starts, ends, strict=True)]
    queries = store.queries(user_E, store.history_items, starts, ends, hour)
    answers = path.recommend(QueryBatch(queries, time_E, exclude), k).ranked.rows_EK
    there = store.available.among(answers, time_E[:, None])
    assert np.array_equal(there, answers > 0)
    # As many as there are; what the towers do not know comes after all that they do.
    rows = np.arange(NUM_ITEMS + 1)
    for e, answer in enumerate(answers):
        left = store.available.among(rows, time_E[e])
        left[exclude[e]] = False
        assert (answer > 0).sum() == min(k, left.sum())
        if ends[e] > starts[e]:
            known = (left & (rows % 9 != 0)).sum()
            assert (answer[:known][answer[:known] > 0] % 9 != 0).all()

    found = recommender.find([Query(k=k, user_id=int(user), time=int(time)) for user, time in asked])
    scores = None
    if found.request is not None:
        scores = Ranker.open(release / "ranking", release / "retrieval", store).score(found.request)
    served = [[item["item_id"] for item in one["items"]] for one in recommender.answers(found, scores, None)]
    assert served == [[item for item in store.items.values(rows) if item is not None] for rows in answers]
