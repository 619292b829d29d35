"""A release made by the real steps: what is served is what was trained and evaluated."""

import io
from pathlib import Path

import numpy as np
import pytest
import real_steps
from numpy.testing import assert_allclose, assert_array_equal

from shortlist.answer.encode import encode
from shortlist.answer.query import Query
from shortlist.answer.release_recommender import ReleaseRecommender
from shortlist.dataset.prepared import Prepared
from shortlist.ranking.ranker import Ranker
from shortlist.recipe import parse_recipe
from shortlist.recommend.request import RankingRequest
from shortlist.retrieval.retrieve import Retriever
from shortlist.serving.predictor.scorer import Scorer

RECIPE = """
name: tiny
source: {kind: synthetic, users: 120, items: 400, events: 8000, days: 20, dirty: 0}
interactions: {positive: played_ratio_pct >= 50}
split: {kind: temporal, test: 3d, valid: 3d}
features:
  history_length: 20
  item: {id_dim: 16, categorical: [{name: artist_id, dim: 8}], numeric: [track_length_seconds], title: title}
  context: {clock: [hour]}
retrieval: {dim: 16, hidden: [32], training: {epochs: 1}}
ranking: {candidates: 50, negatives: 10, attention: true, neighbours: 20, experts: 2, training: {epochs: 1}}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The step folders, and `release` among them."""
    folder = tmp_path_factory.mktemp("steps")
    recipe = parse_recipe(RECIPE)
    real_steps.train(recipe, folder)
    real_steps.make_release(recipe, folder)
    return folder


def test_a_query_is_served_as_it_was_evaluated(made: Path) -> None:
    prepared = Prepared.open(made / "prepared")
    store, asked = prepared.store, prepared.test
    encoded = prepared.encode(asked)
    queries = []
    for e in range(len(asked)):
        seen = np.asarray(store.history_items[asked.start[e] : asked.end[e]], np.int64)
        user = store.users.values(np.array([asked.user[e]]))[0]
        queries.append(Query(k=10, user_id=user, history=store.items.values(seen), time=int(asked.time[e])))
    assert len(queries) > 20
    served = encode(store, queries).inputs
    assert_array_equal(served.history_BL, encoded.history_BL)
    assert_array_equal(served.prefix_E, encoded.prefix_E)
    assert_array_equal(served.user_E, encoded.user_E)
    assert_array_equal(served.numeric_EF, encoded.numeric_EF)
    assert served.categorical.keys() == encoded.categorical.keys()
    for name, rows in encoded.categorical.items():
        assert_array_equal(served.categorical[name], rows)

    # The whole path by the library alone, on one query, against what the two services do.
    recommender, scorer = ReleaseRecommender.open(made / "release"), Scorer.open([made / "release"])
    at = next(e for e, query in enumerate(queries) if query.history)
    found = recommender.find([queries[at]])
    assert found.request is not None
    retriever = Retriever.open(made / "retrieval", made / "index", store)
    ranker = Ranker.open(made / "ranking", made / "retrieval", store)
    one = prepared.encode(asked.take(np.array([at])))
    vector = retriever.embed(one)
    user = int(asked.user[at])
    everything = np.asarray(store.history_items[store.history_offsets[user] : store.history_offsets[user + 1]])
    rows, inner = retriever.search(vector, 50, [everything], asked.time[[at]])
    assert_array_equal(found.request.candidates_EK, rows)
    wanted = ranker.score(RankingRequest.of(one, vector, rows, inner, time_E=asked.time[[at]]))
    (reply,) = scorer.score([found.request.to_bytes(recommender.release.name)])
    scores = np.load(io.BytesIO(reply.body))
    assert_allclose(scores, wanted, atol=1e-6)
    (answer,) = recommender.answers(found, scores, None)
    best = np.argsort(-wanted[0], kind="stable")[:10]
    assert [item["item_id"] for item in answer["items"]] == store.items.values(rows[0][best])
    assert [item["title"] for item in answer["items"]] == store.titles(rows[0][best])
    assert all(item["title"] for item in answer["items"])
