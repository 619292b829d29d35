"""The times of events: training, evaluation and the services read the same of them."""

from pathlib import Path

import numpy as np
import pytest
import real_steps
from numpy.testing import assert_allclose, assert_array_equal

from shortlist.answer.query import Query
from shortlist.answer.release_recommender import ReleaseRecommender
from shortlist.client import Client, RefusedError
from shortlist.client import Query as Asked
from shortlist.dataset.prepared import EvaluationQueries, Prepared
from shortlist.evaluation.live_recommendations import live_recommendations
from shortlist.evaluation.whole_path import WholePath
from shortlist.features import FeatureStore
from shortlist.ranking.ranker import Ranker
from shortlist.ranking.training.batches import retrieve
from shortlist.recipe import load_released_recipe, parse_recipe
from shortlist.recommend.recommender import Recommender
from shortlist.recommend.request import RankingRequest
from shortlist.serving.local import LocalService

RECIPE = """
name: again
source: {kind: synthetic, users: 120, items: 200, events: 8000, days: 20, dirty: 0}
interactions: {positive: played_ratio_pct >= 50}
split: {kind: temporal, test: 3d, valid: 3d}
features: {history_length: 20, item: {id_dim: 16, categorical: [{name: artist_id, dim: 8}], title: title}}
retrieval: {dim: 16, hidden: [32], training: {epochs: 1}}
candidates: {sources: [{kind: two_tower}, {kind: repeats, by: time, half_life: 30d}]}
ranking: {candidates: 50, neighbours: 20, training: {epochs: 1}}
evaluation: {mask_seen: false}
serving: {deadline_ms: 20000}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("again")
    recipe = parse_recipe(RECIPE)
    real_steps.train(recipe, folder)
    real_steps.make_release(recipe, folder)
    return folder


def with_history(prepared: Prepared) -> EvaluationQueries:
    """The test queries with a history, which are ranked."""
    return prepared.test.take(np.flatnonzero(prepared.test.end > prepared.test.start))


def sent(store: FeatureStore, asked: EvaluationQueries, e: int) -> Asked:
    """Query `e` as a client would send it, with the history before it and its times."""
    assert store.history_times is not None
    events = slice(asked.start[e], asked.end[e])
    return {
        "k": 10,
        "user_id": store.users.values(asked.user[e : e + 1])[0],
        "history": store.items.values(np.asarray(store.history_items[events], np.int64)),
        "history_times": store.history_times[events].tolist(),
        "time": int(asked.time[e]),
    }


def assert_same(one: RankingRequest, other: RankingRequest) -> None:
    arrays, others = one._arrays(), other._arrays()
    assert arrays.keys() == others.keys() >= {"history_age", "source_scores"}
    for name, array in arrays.items():
        assert_array_equal(array, others[name], err_msg=name)


def test_training_evaluation_and_serving_ask_the_ranker_the_same(made: Path) -> None:
    prepared, recipe = Prepared.open(made / "prepared"), load_released_recipe(made / "release/recipe.yaml")
    recommender = Recommender.open(recipe, prepared.store, made / "retrieval", made / "index", ranks=True, threads=1)
    served, ranker = (
        ReleaseRecommender.open(made / "release"),
        Ranker.open(made / "ranking", made / "retrieval", prepared.store),
    )
    asked, repeated = with_history(prepared), 0
    retrieved = retrieve(prepared, recommender, asked, label="test")
    for e in range(0, len(asked), 3):
        trained = retrieved.request(np.array([e]))
        found = served.find([Query(**sent(prepared.store, asked, e))])
        assert found.request is not None
        assert_same(found.request, trained)
        inputs = ranker.model.read(trained).numeric_EKF[0, :, -1]
        repeated += int(np.count_nonzero(inputs))
    assert repeated > 100, "the ranker reads ages"
    assert ranker.model.config.age_std > 0.1


def test_the_services_score_as_one_process(made: Path) -> None:
    prepared, local = Prepared.open(made / "prepared"), ReleaseRecommender.open(made / "release")
    ranker = Ranker.open(made / "release/ranking", made / "release/retrieval", local.release.store)
    asked = with_history(prepared)
    queries = [sent(prepared.store, asked, e) for e in range(6)]
    queries += [{"k": 10, "user_id": one["user_id"], "time": one["time"] + 5 * 86_400} for one in queries]
    queries += [{"k": 10, "history": one["history"], "time": one["time"]} for one in queries[:6]]
    with LocalService(made / "release") as service, Client(f"http://127.0.0.1:{service.http_port}", deadline=60) as it:
        answers = it.recommend_many(queries)
        with pytest.raises(RefusedError, match=r"history_times has 1 times, .*history has 2 ids; send one"):
            it.recommend(history=queries[0]["history"][:2], history_times=[1])
    for query, answer in zip(queries, answers, strict=True):
        found = local.find([Query(**query)])
        assert found.request is not None
        (wanted,) = local.answers(found, ranker.score(found.request), None)
        assert answer["degraded"] is False
        assert [item["item_id"] for item in answer["items"]] == [item["item_id"] for item in wanted["items"]]
        both = [[item["score"] for item in one["items"]] for one in (answer, wanted)]
        assert_allclose(*both, atol=2e-6)
    assert any(item["source"] == "repeats" for answer in answers for item in answer["items"])


def test_a_live_release_is_asked_with_the_times_also_by_a_recipe_that_reads_none(made: Path, tmp_path: Path) -> None:
    prepared, recipe = Prepared.open(made / "prepared"), load_released_recipe(made / "release/recipe.yaml")
    queries, nothing = prepared.test, [np.zeros(0, np.int64)] * len(prepared.test)
    path = WholePath.open(recipe, prepared.store, made / "retrieval", made / "index", made / "ranking", threads=1)
    wanted = path.recommend_queries(prepared, queries, 10, label="ours").ranked.rows_EK
    timeless = tmp_path / "features"
    timeless.mkdir()
    for file in (made / "prepared/features").iterdir():
        if file.name != "history":
            (timeless / file.name).symlink_to(file)
    (timeless / "history").mkdir()
    for name in ("items.npy", "offsets.npy"):
        (timeless / "history" / name).symlink_to(made / "prepared/features/history" / name)
    ours = Prepared(features=timeless, samples=made / "prepared/samples", queries=made / "prepared/queries")
    assert ours.store.history_times is None
    assert_array_equal(live_recommendations(made / "release", ours, queries, 10, nothing, 1), wanted)
