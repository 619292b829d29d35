import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from released import NUM_ITEMS, NUM_USERS

from benchmarks.made_release import make_release
from shortlist.answer.query import Query
from shortlist.answer.release_recommender import ReleaseRecommender
from shortlist.recommend.request import RankingRequest
from shortlist.serving.predictor.scorer import Reply, Scorer


@pytest.fixture(scope="module")
def scorer(release: Path) -> Scorer:
    return Scorer.open([release])


@pytest.fixture(scope="module")
def recommender(release: Path) -> ReleaseRecommender:
    return ReleaseRecommender.open(release)


def request(recommender: ReleaseRecommender, *users: int) -> RankingRequest:
    found = recommender.find([Query(k=1, user_id=user) for user in users]).request
    assert found is not None
    return found


def scores_of(reply: Reply) -> NDArray[np.float32]:
    assert (reply.status, reply.content_type) == (200, "application/octet-stream")
    scores: NDArray[np.float32] = np.load(io.BytesIO(reply.body), allow_pickle=False)
    return scores


def narrow(request: RankingRequest, num_candidates: int) -> RankingRequest:
    changed = {name: getattr(request, name)[:, :num_candidates] for name in ("candidates_EK", "retrieval_scores_EK")}
    return RankingRequest(**(vars(request) | changed))


def test_a_batch_gives_each_request_its_own_scores(scorer: Scorer, recommender: ReleaseRecommender) -> None:
    name = recommender.release.name
    requests = [request(recommender, 1), narrow(request(recommender, 2, 3), 7), request(recommender, 4)]
    replies = scorer.score([one.to_bytes(name) for one in requests])
    for one, reply in zip(requests, replies, strict=True):
        scores = scores_of(reply)
        assert scores.dtype == np.float32
        np.testing.assert_allclose(scores, scorer._first.ranker.score(one), atol=1e-6)
    assert scores_of(replies[1]).shape == (2, 7)


def test_another_release_is_refused_by_name_and_touches_nobody_else(
    scorer: Scorer, recommender: ReleaseRecommender
) -> None:
    one = request(recommender, 1)
    name = recommender.release.name
    good, other, also_good = scorer.score([one.to_bytes(name), one.to_bytes("feedc0de"), one.to_bytes(name)])
    assert scores_of(good).tolist() == scores_of(also_good).tolist()
    assert other.status == 409
    assert "feedc0de" in json.loads(other.body)["error"]
    assert name in json.loads(other.body)["error"]


def test_two_releases_side_by_side_each_score_their_own(
    release: Path, recommender: ReleaseRecommender, tmp_path: Path
) -> None:
    make_release(tmp_path / "next", num_items=NUM_ITEMS, num_users=NUM_USERS, seed=1)
    both, newer = Scorer.open([release, tmp_path / "next"]), ReleaseRecommender.open(tmp_path / "next")
    names = recommender.release.name, newer.release.name
    asked = [request(recommender, 1).to_bytes(names[0]), request(newer, 1, 2).to_bytes(names[1])]
    asked += [request(recommender, 4).to_bytes(names[0]), request(newer, 5).to_bytes("feedc0de")]
    *together, refused = both.score(asked)
    alone = Scorer.open([release]), Scorer.open([tmp_path / "next"])
    for body, which, reply in zip(asked, (0, 1, 0), together, strict=False):
        np.testing.assert_allclose(scores_of(reply), scores_of(alone[which].score([body])[0]), atol=1e-6)
        assert alone[1 - which].score([body])[0].status == 409
    assert refused.status == 409
    assert f"serves release {names[0]} and {names[1]};" in json.loads(refused.body)["error"]
    (plain,) = both.score([{"user_id": 1, "candidates": [1000]}])
    assert json.loads(plain.body)["release"] == names[0]


def test_rows_that_the_release_does_not_have_touch_nobody_else(scorer: Scorer, recommender: ReleaseRecommender) -> None:
    one, name = request(recommender, 1), recommender.release.name
    wrong = RankingRequest(**(vars(one) | {"candidates_EK": one.candidates_EK + 10**6}))
    good, bad = scorer.score([one.to_bytes(name), wrong.to_bytes(name)])
    assert good.status == 200
    assert bad.status == 400
    assert "candidates has rows outside" in json.loads(bad.body)["error"]


def test_json_is_scored_as_the_transformer_would_have_asked(scorer: Scorer, recommender: ReleaseRecommender) -> None:
    context = {"device": "car", "volume": 0.4}
    found = recommender.find([Query(k=1, user_id=5, context=context, time=3600)])
    assert found.request is not None
    ids = recommender.release.store.items.values(found.request.candidates_EK[0])
    asked = {"user_id": 5, "context": context, "time": 3600, "candidates": ids, "release": recommender.release.name}
    binary, text, decoded = scorer.score(
        [found.request.to_bytes(recommender.release.name), json.dumps(asked).encode(), asked]
    )
    assert text == decoded
    answer = json.loads(text.body)
    assert answer["release"] == recommender.release.name
    assert [one["item_id"] for one in answer["scores"]] == ids
    np.testing.assert_allclose([one["score"] for one in answer["scores"]], scores_of(binary)[0], atol=1e-5)


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (None, 400, "there is no body"),
        (b"", 400, "the body is not a safetensors file"),
        (b"\x00" * 100, 400, "ranking request"),
        (b"{", 400, "the body is not JSON"),
        ({}, 400, "candidates is missing"),
        ({"candidates": []}, 400, "candidates is missing"),
        ({"candidates": [10**7]}, 400, "this release does not know 10000000"),
        ({"candidates": [[1]]}, 400, "is a list"),
        ({"candidates": [1000], "hystory": []}, 400, "did you mean 'history'?"),
        ({"candidates": [1000], "release": "feedc0de"}, 409, "the request is for release feedc0de"),
    ],
)
def test_a_wrong_body(scorer: Scorer, body: Any, status: int, message: str) -> None:
    (reply,) = scorer.score([body])
    assert reply.status == status
    assert message in json.loads(reply.body)["error"]


def test_a_release_without_a_ranker_is_refused(unranked: Path) -> None:
    with pytest.raises(ValueError, match="has no ranker"):
        Scorer.open([unranked])
