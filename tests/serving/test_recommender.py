import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from released import NUM_ITEMS, NUM_USERS

from benchmarks.made_release import make_release
from shortlist.answer.encode import encode, stored_history
from shortlist.answer.query import Query
from shortlist.answer.refusal import BadRequestError
from shortlist.answer.release_recommender import ReleaseRecommender


@pytest.fixture(scope="module")
def recommender(release: Path) -> ReleaseRecommender:
    return ReleaseRecommender.open(release)


def ask(recommender: ReleaseRecommender, *queries: Query) -> list[dict[str, Any]]:
    return recommender.answers(recommender.find(queries), None, None)


def ids(answer: dict[str, Any]) -> list[Any]:
    return [item["item_id"] for item in answer["items"]]


def test_a_known_user_is_asked_by_the_stored_history(recommender: ReleaseRecommender) -> None:
    store = recommender.release.store
    user = 3
    history = [int(i) for i in store.items.values(stored_history(store, user))]
    (answer,) = ask(recommender, Query(k=10, user_id=3))
    assert (answer["user"], answer["source"], answer["degraded"]) == ("known", "history", False)
    assert not set(ids(answer)) & set(history)
    # The same history sent by someone unknown asks the same query.
    (sent,) = ask(recommender, Query(k=10, user_id=None, history=history))
    assert (sent["user"], sent["source"]) == ("unknown", "history")
    assert sent["items"] == answer["items"]


def test_serving_makes_the_arrays_of_the_training(recommender: ReleaseRecommender) -> None:
    store = recommender.release.store
    times = np.array([1767225600, 1767229200])
    users = np.array([3, 5])
    trained = store.queries(
        users,
        store.history_items,
        *store.history_bounds(users),
        store.context({"device": ["car", None], "volume": [0.3, None]}, times),
    )
    served = encode(
        store,
        [
            Query(k=1, user_id=3, context={"device": "car", "volume": 0.3}, time=int(times[0])),
            Query(k=1, user_id="5", time=int(times[1])),
        ],
    ).inputs
    for name, value in vars(trained).items():
        if name == "categorical":
            assert value.keys() == served.categorical.keys()
            for field in value:
                assert_array_equal(value[field], served.categorical[field])
        else:
            assert_array_equal(value, getattr(served, name))


def test_scores_are_inner_products_in_falling_order(recommender: ReleaseRecommender) -> None:
    found = recommender.find([Query(k=20, user_id=7)])
    encoded = encode(recommender.release.store, [found.queries[0]]).inputs
    vectors = np.load(recommender.release.folder / "retrieval/vectors.npy")
    wanted = vectors @ recommender._recommender.retriever.embed(encoded)[0]
    assert found.request is not None
    rows, scores = found.request.candidates_EK[0], found.request.retrieval_scores_EK[0]
    assert len(rows) == 500  # ranking.candidates
    np.testing.assert_allclose(scores, wanted[rows - 1], atol=1e-5)
    assert (np.diff(scores) <= 1e-6).all()


def test_titles_and_ids_belong_together(recommender: ReleaseRecommender) -> None:
    (answer,) = ask(recommender, Query(k=5, user_id=1))
    assert [item["title"] for item in answer["items"]] == [f"Title {i - 1000}" for i in ids(answer)]


def test_exclusions_never_come_back(recommender: ReleaseRecommender) -> None:
    (before,) = ask(recommender, Query(k=10, user_id=2))
    away = [*ids(before)[:4], 5]
    (after,) = ask(recommender, Query(k=10, user_id=2, exclude=away))
    assert ids(after)[:6] == ids(before)[4:]
    assert len(ids(after)) == 10
    (popular,) = ask(recommender, Query(k=3))
    (rest,) = ask(recommender, Query(k=3, exclude=ids(popular)))
    assert not set(ids(rest)) & set(ids(popular))


def test_the_ranker_orders_what_was_found(recommender: ReleaseRecommender) -> None:
    found = recommender.find([Query(k=3), Query(k=4, user_id=1), Query(k=2, user_id=2)])
    assert found.candidates.ranked is not None
    assert found.candidates.ranked.at_A.tolist() == [1, 2]
    assert found.request is not None
    ranks = np.random.default_rng(0).random(found.request.candidates_EK.shape, np.float32)
    _, second, third = recommender.answers(found, ranks, None)
    for e, answer, k in ((0, second, 4), (1, third, 2)):
        best = np.argsort(-ranks[e])[:k]
        assert ids(answer) == recommender.release.store.items.values(found.request.candidates_EK[e][best])
        assert [item["score"] for item in answer["items"]] == ranks[e][best].astype(float).round(6).tolist()


def test_an_unknown_user_without_a_history_gets_what_is_popular(recommender: ReleaseRecommender) -> None:
    popularity = np.asarray(recommender.release.store.popular)
    for query in (Query(k=5, user_id=10**6), Query(k=5), Query(k=5, history=[-1, "x"])):
        (answer,) = ask(recommender, query)
        assert (answer["user"], answer["source"], answer["degraded"]) == ("unknown", "popularity", False)
        rows = recommender.release.store.items.rows(ids(answer))
        assert popularity[rows].tolist() == np.sort(popularity)[::-1][:5].tolist()
        assert answer["items"][0]["score"] == pytest.approx(popularity.max() / popularity.sum(), abs=1e-6)
    assert answer["unknown_items"] == 2


def test_a_known_user_without_a_history_gets_what_is_popular(recommender: ReleaseRecommender) -> None:
    (answer,) = ask(recommender, Query(k=5, user_id=NUM_USERS))
    assert (answer["user"], answer["source"]) == ("known", "popularity")


def test_a_catalogue_that_is_used_up_gives_a_short_list(recommender: ReleaseRecommender) -> None:
    everything = [1000 + i for i in range(NUM_ITEMS)]
    (answer,) = ask(recommender, Query(k=10, user_id=1, exclude=everything[:-2]))
    assert set(ids(answer)) <= set(everything[-2:])
    (nothing,) = ask(recommender, Query(k=10, user_id=1, exclude=everything))
    assert nothing["items"] == []


def test_text_ids_are_found(unranked: Path) -> None:
    recommender = ReleaseRecommender.open(unranked)
    found = recommender.find([Query(k=3, history=["i1003", "i1004", "i9" * 100])])
    assert found.request is None
    (answer,) = recommender.answers(found, None, None)
    assert answer["unknown_items"] == 1
    assert len(answer["items"]) == 3
    assert all(item["item_id"].startswith("i1") for item in answer["items"])
    assert all(item["score"] == item["retrieval_score"] for item in answer["items"])


LARGE = 4876769046116846438


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> ReleaseRecommender:
    """Half of the item ids are so large that a double rounds them."""
    folder = tmp_path_factory.mktemp("large") / "made"
    make_release(folder, num_items=NUM_ITEMS, num_users=NUM_USERS)
    path = folder / "features/vocabularies/item.npy"
    ids = np.load(path)
    ids[NUM_ITEMS // 2 :] += LARGE - ids[NUM_ITEMS // 2]
    np.save(path, ids)
    return ReleaseRecommender.open(folder)


@given(as_text=st.booleans(), user=st.booleans(), data=st.data())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_ids_come_back_as_they_are_asked_and_survive_a_parser_of_doubles(
    large: ReleaseRecommender, as_text: bool, user: bool, data: st.DataObject
) -> None:
    known = st.integers(1000, 1000 + NUM_ITEMS // 2 - 1) | st.integers(LARGE, LARGE + NUM_ITEMS // 2 - 1)
    history = data.draw(st.lists(known, min_size=1, max_size=4))
    write: Any = str if as_text else int
    query = {"user_id": write(3)} if user else {"history": [write(one) for one in history]}
    asked = large.release.reader.query(query | {"k": 20}, "q")
    (answer,) = ask(large, asked)
    assert answer["unknown_items"] == 0
    read = json.loads(json.dumps(ids(answer)), parse_int=float)
    plain = [one if isinstance(one, str) else str(int(one)) for one in read]
    assert large.release.store.items.rows(plain).all()
    assert len(set(plain)) == 20
    assert {type(one) for one in ids(answer)} <= ({str} if as_text else {str, int})
    assert all(isinstance(one, str) == (as_text or int(one) >= 2**53) for one in ids(answer))
    # What came back may be sent again.
    (again,) = ask(large, large.release.reader.query(query | {"k": 20, "exclude": ids(answer)}, "q"))
    assert again["unknown_exclude"] == 0
    assert not set(map(str, ids(again))) & set(plain)


def test_a_number_written_as_text_asks_for_text_and_text_stays_text(
    recommender: ReleaseRecommender, unranked: Path
) -> None:
    (answer,) = ask(recommender, Query(k=3, user_id="3"))
    assert {type(one) for one in ids(answer)} == {str}
    text_items = ReleaseRecommender.open(unranked)
    (answer,) = ask(text_items, Query(k=3, history=[1003, "i1004"]))
    assert {type(one) for one in ids(answer)} == {str}


def test_what_the_release_does_not_know_is_told(recommender: ReleaseRecommender) -> None:
    asked = Query(k=3, history=[5, 1003, "x"], exclude=[1004, 6], context={"device": "fridge", "volume": 3})
    (answer,) = ask(recommender, asked)
    assert (answer["unknown_items"], answer["unknown_exclude"]) == (2, 1)
    assert answer["unknown_values"] == {"context.device": ["fridge"]}
    (known,) = ask(recommender, Query(k=3, history=[1003], context={"device": "phone"}, exclude=[1004]))
    assert (known["unknown_items"], known["unknown_exclude"], known["unknown_values"]) == (0, 0, {})


IDS = st.integers(-(2**63), 2**63 - 1) | st.integers(995, 1010) | st.text(max_size=5)
WORDS = IDS | st.booleans() | st.none() | st.floats(allow_nan=False)
QUERY = st.fixed_dictionaries(
    {},
    optional={
        "user_id": IDS,
        "history": st.lists(IDS, max_size=60),
        "exclude": st.lists(IDS, max_size=5),
        "k": st.integers(1, 30),
        "context": st.fixed_dictionaries(
            {}, optional={"device": WORDS | st.lists(WORDS, max_size=3), "volume": st.none() | st.floats(width=32)}
        ),
        "time": st.integers(0, 2**40 - 1),
    },
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(QUERY, min_size=1, max_size=3))
def test_whatever_is_accepted_is_answered(recommender: ReleaseRecommender, given_queries: list[dict[str, Any]]) -> None:
    try:
        queries = [recommender.release.reader.query(one, "q") for one in given_queries]
    except BadRequestError:
        return
    for query, answer in zip(queries, ask(recommender, *queries), strict=True):
        assert len(answer["items"]) == query.k
        assert not set(map(str, ids(answer))) & set(map(str, query.exclude))
        assert not set(map(str, ids(answer))) & set(map(str, query.history or ()))
