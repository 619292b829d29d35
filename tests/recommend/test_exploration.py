"""Explored items appear with the probability that the answer states, and never against a rule."""

from typing import Any

import numpy as np
import pytest
from hand_made import item_vectors, recipe_of, write_release, write_store

from shortlist.answer.query import Query
from shortlist.answer.release_recommender import ReleaseRecommender
from shortlist.features.availability import Availability

NUM_ITEMS, TIME, DAY, SHARE, ROUNDS = 60, 60 * 86_400, 86_400, 0.25, 2_000
GENRES = [[1 + row % 4] for row in range(1, NUM_ITEMS + 1)]


@pytest.fixture(scope="module")
def recommender(tmp_path_factory: pytest.TempPathFactory) -> ReleaseRecommender:
    folder = tmp_path_factory.mktemp("exploration")
    explore = {"source": {"kind": "new_items", "within": "20d"}, "share": SHARE, "first": 3, "pool": 8}
    recipe = recipe_of(candidates={"explore": explore}, features={"item": {"categorical": [{"name": "genre"}]}})
    available = Availability(np.arange(NUM_ITEMS + 1) * DAY, np.full(NUM_ITEMS + 1, 10**9))
    store = write_store(folder / "store", [[1, 2, 3], [5]], NUM_ITEMS, available=available, genres=GENRES)
    return ReleaseRecommender.open(write_release(folder / "release", store, item_vectors(NUM_ITEMS), recipe))


def listed(recommender: ReleaseRecommender, query: Query, seed: int | None) -> list[dict[str, Any]]:
    found = recommender.find([query])
    rng = None if seed is None else np.random.default_rng(seed)
    (answer,) = recommender.predictions(found, recommender.lists(found, None, rng), None)
    return [dict(item) for item in answer["items"]]


def test_without_a_generator_nothing_is_explored(recommender: ReleaseRecommender) -> None:
    items = listed(recommender, Query(k=10, user_id=1, time=TIME), None)
    assert not any(item["explored"] for item in items)
    assert {item["propensity"] for item in items} == {1.0}


def test_the_stated_probabilities_are_those_of_the_draws(recommender: ReleaseRecommender) -> None:
    query = Query(k=10, user_id=1, time=TIME)
    greedy = [item["item_id"] for item in listed(recommender, query, None)]
    explored = np.zeros(10)
    weight = []  # 1 / propensity of explored items: sums to the number of items that the place could have shown
    for seed in range(ROUNDS):
        items = listed(recommender, query, seed)
        assert len({item["item_id"] for item in items}) == len(items) == 10
        assert [item["item_id"] for item in items[:2]] == greedy[:2], "the first places are not explored"
        scores = [item["score"] for item in items]
        assert scores == sorted(scores, reverse=True)
        for place, item in enumerate(items):
            explored[place] += item["explored"]
            if item["explored"]:
                assert item["source"] == "new_items"
                assert item["item_id"] // 10 > NUM_ITEMS - 20
                if place == 2:
                    weight.append(1 / item["propensity"])
            elif place >= 2:
                assert item["propensity"] == pytest.approx(1 - SHARE)
    assert explored[:2].sum() == 0
    assert explored[2:] / ROUNDS == pytest.approx(np.full(8, SHARE), abs=4 * np.sqrt(SHARE * (1 - SHARE) / ROUNDS))
    new_in_list = sum(item // 10 > NUM_ITEMS - 8 for item in greedy)
    assert sum(weight) / ROUNDS == pytest.approx(8 - new_in_list, rel=0.15)


def test_pins_stay_and_limits_hold(recommender: ReleaseRecommender) -> None:
    rules = {"pin": [10 * row for row in (40, 41, 42, 43)], "at_most": {"genre": 2}}
    for seed in range(100):
        items = listed(recommender, Query(k=8, user_id=2, time=TIME, rules=rules), seed)
        assert [item["item_id"] for item in items[:4]] == rules["pin"]
        genres = [GENRES[item["item_id"] // 10 - 1][0] for item in items]
        assert max(np.bincount(genres)) <= 2


def test_a_query_that_selects_sources_is_not_explored(recommender: ReleaseRecommender) -> None:
    for seed in range(20):
        items = listed(recommender, Query(k=8, user_id=2, time=TIME, sources=frozenset(["popularity"])), seed)
        assert {item["source"] for item in items} == {"popularity"}
