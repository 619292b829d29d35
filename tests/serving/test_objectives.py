"""Weights of a request: they reach the predictor, change the list, and leave every other query as it was."""

import io
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from asking import JSON, post

from shortlist.answer.release_recommender import ReleaseRecommender
from shortlist.batch.lists import write_lists
from shortlist.batch.users import Users
from shortlist.client import Client, RefusedError
from shortlist.ranking.ranker import Ranker
from shortlist.recommend.request import RankingRequest
from shortlist.serving.local import LocalService
from shortlist.serving.predictor.scorer import Scorer


def items(answer: dict) -> list:
    return [item["item_id"] for item in answer["items"]]


def test_weights_reach_the_predictor_and_change_the_list(labelled: LocalService, labelled_release: Path) -> None:
    recommender = ReleaseRecommender.open(labelled_release)
    ranker = Ranker.open(labelled_release / "ranking", labelled_release / "retrieval", recommender.release.store)
    objectives = [None, {"positive": 1}, {"liked": 1}, {"positive": 1, "liked": -1}, {"positive": 1, "liked": 0.5}]
    with Client(f"http://127.0.0.1:{labelled.http_port}", deadline=60) as client:
        given = [{"user_id": 7, "k": 20} | ({"objective": one} if one else {}) for one in objectives]
        served = client.recommend_many(given)
    assert [answer["degraded"] for answer in served] == [False] * 5
    assert items(served[0]) == items(served[1]), "the weights of the recipe are {positive: 1}"
    assert len({tuple(items(answer)) for answer in served}) == 4
    for query, answer in zip(given, served, strict=True):  # what one process answers, without any service
        found = recommender.find([recommender.release.reader.query(query, "query")])
        assert found.request is not None
        (wanted,) = recommender.answers(found, ranker.score(found.request), None)
        assert items(answer) == items(wanted)
        np.testing.assert_allclose(
            [item["score"] for item in answer["items"]], [item["score"] for item in wanted["items"]], atol=2e-6
        )


def test_boosts_are_in_the_unit_of_the_scores_that_the_objective_gives(labelled: LocalService) -> None:
    with Client(f"http://127.0.0.1:{labelled.http_port}", deadline=60) as client:
        where = "genres = 'genres 0000001'"
        of_genre = {*items(client.recommend(user_id=7, k=600, rules={"where": where}))}
        for objective in ({"positive": 1}, {"liked": 2}):
            plain = client.recommend(user_id=7, k=600, objective=objective)["items"]
            rules = {"boost": [{"where": where, "by": 50}]}
            boosted = items(client.recommend(user_id=7, k=600, objective=objective, rules=rules))
            score = {item["item_id"]: item["score"] for item in plain}
            lifted = [item in of_genre for item in boosted]
            assert lifted == sorted(lifted, reverse=True), "a boost lifts them"
            order = np.array([score[item] for item in boosted[: sum(lifted)]])
            assert len(order) > 20
            assert (np.diff(order) < 1e-5).all(), "in the order of the objective, but for the precision of a large sum"


def test_what_a_service_refuses(labelled: LocalService, service: LocalService) -> None:
    with Client(f"http://127.0.0.1:{labelled.http_port}", deadline=60) as client:
        with pytest.raises(
            RefusedError, match=r"instances\[0\]\.objective has the unknown key 'disliked'; did you mean"
        ):
            client.recommend(user_id=7, objective={"disliked": 1})
        with pytest.raises(RefusedError, match=r"instances\[0\]\.objective has no weight other than 0"):
            client.recommend(user_id=7, objective={"positive": 0})
    body = b'{"instances": [{"objective": {"liked": 1}}]}'
    status, answer = post(service.url, body, JSON)
    assert status == 400
    assert json.loads(answer)["error"].endswith("has the unknown key 'liked'; allowed: positive")


def test_a_release_without_labels_sends_what_it_always_sent(release: Path) -> None:
    recommender = ReleaseRecommender.open(release)
    found = recommender.find([recommender.release.reader.query({"user_id": 7, "objective": {"positive": 3}}, "query")])
    assert found.request is not None
    assert found.request.objective_EO is None
    assert b"objective" not in found.request.to_bytes("r")


def test_json_is_scored_by_its_own_weights(labelled_release: Path) -> None:
    scorer = Scorer.open([labelled_release])
    ids = [1000, 1001, 1002, 1003]
    replies = [
        scorer.score([json.dumps({"user_id": 7, "candidates": ids} | more).encode()])[0]
        for more in ({}, {"objective": {"liked": 1}})
    ]
    scores = [[one["score"] for one in json.loads(reply.body)["scores"]] for reply in replies]
    assert [reply.status for reply in replies] == [200, 200]
    assert not np.allclose(*scores)


def test_requests_with_different_weights_are_scored_in_one_batch(labelled_release: Path) -> None:
    scorer, recommender = Scorer.open([labelled_release]), ReleaseRecommender.open(labelled_release)
    bodies = []
    for objective in ({"positive": 1}, {"liked": 1}):
        query = recommender.release.reader.query({"user_id": 7, "objective": objective}, "query")
        request = recommender.find([query]).request
        assert request is not None
        bodies.append(request.to_bytes(recommender.release.name))
    together = scorer.score(bodies)
    for body, reply in zip(bodies, together, strict=True):
        alone = np.load(io.BytesIO(scorer.score([body])[0].body))
        np.testing.assert_allclose(np.load(io.BytesIO(reply.body)), alone, atol=1e-6)
    assert RankingRequest.from_bytes(bodies[1])[0].objective_EO.tolist() == [[0, 1]]


def test_lists_of_many_users_by_one_objective(labelled_release: Path, tmp_path: Path) -> None:
    for name, objective in (("plays", {"positive": 1}), ("likes", {"liked": 1})):
        query = {"k": 5, "objective": objective, "time": 1767225600}
        write_lists(labelled_release, lambda _: Users(2, iter([[7, 8]])), query, tmp_path / f"{name}.parquet")
    plays, likes = (pl.read_parquet(tmp_path / f"{name}.parquet")["item_id"] for name in ("plays", "likes"))
    assert len(plays) == len(likes) == 10
    assert plays.to_list() != likes.to_list()
