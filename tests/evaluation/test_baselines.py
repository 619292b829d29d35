"""The baselines against their definitions in plain Python."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shortlist.evaluation import baselines
from shortlist.evaluation.baselines import BuyAgain, ItemKNN
from shortlist.features.availability import Availability
from shortlist.recommend.sources.popularity import Popularity

NUM_ITEMS = 12
ITEM = st.integers(1, NUM_ITEMS)


def rows_of(lists: list[list[int]]) -> list[np.ndarray]:
    return [np.array(one, np.int64) for one in lists]


@given(
    counts=st.lists(st.integers(0, 5), min_size=NUM_ITEMS, max_size=NUM_ITEMS),
    seen=st.lists(st.lists(st.integers(0, NUM_ITEMS), max_size=20), min_size=1, max_size=5),
    k=st.integers(1, 15),
)
def test_popularity_is_the_best_of_what_was_not_seen(counts: list[int], seen: list[list[int]], k: int) -> None:
    ranked = Popularity(np.array([0, *counts])).rank(k, rows_of(seen))
    for row, one in zip(ranked.tolist(), seen, strict=True):
        free = [item for item in range(1, NUM_ITEMS + 1) if item not in one]
        expected = sorted(free, key=lambda item: (-counts[item - 1], item))[:k]
        assert row == expected + [0] * (k - len(expected))


@given(
    counts=st.lists(st.integers(0, 5), min_size=NUM_ITEMS, max_size=NUM_ITEMS),
    histories=st.lists(st.lists(ITEM, max_size=20), min_size=1, max_size=5),
    k=st.integers(1, 15),
)
def test_buying_again_is_what_was_had_most_then_latest_then_what_is_popular(
    counts: list[int], histories: list[list[int]], k: int
) -> None:
    ranked = BuyAgain(Popularity(np.array([0, *counts]))).rank(k, rows_of(histories))
    for row, had in zip(ranked.tolist(), histories, strict=True):
        own = sorted(set(had), key=lambda item: (-had.count(item), had[::-1].index(item)))
        rest = [item for item in range(1, NUM_ITEMS + 1) if item not in had]
        expected = [*own, *sorted(rest, key=lambda item: (-counts[item - 1], item))][:k]
        assert row == expected + [0] * (k - len(expected))


ALL = np.arange(NUM_ITEMS + 1)


def plain_knn(trained: list[set[int]], history: list[int], neighbours: int) -> dict[int, float]:
    """Scores by the definition; valid while no similarities are equal."""
    users = {item: {u for u, one in enumerate(trained) if item in one} for item in range(1, NUM_ITEMS + 1)}
    scores: dict[int, float] = {}
    for i in set(history):
        similar = {
            j: len(users[i] & users[j]) / math.sqrt(len(users[i]) * len(users[j]))
            for j in users
            if j != i and users[i] & users[j]
        }
        for j in sorted(similar, key=lambda j: -similar[j])[:neighbours]:
            scores[j] = scores.get(j, 0.0) + similar[j]
    return scores


@given(
    trained=st.lists(st.sets(ITEM, min_size=1), min_size=1, max_size=8),
    histories=st.lists(st.lists(ITEM, max_size=6), min_size=1, max_size=4),
    k=st.integers(1, NUM_ITEMS),
)
@settings(max_examples=60, deadline=None)
def test_knn_orders_by_the_sum_of_cosines(trained: list[set[int]], histories: list[list[int]], k: int) -> None:
    users = np.repeat(np.arange(len(trained)), [len(one) for one in trained])
    items = np.concatenate([sorted(one) for one in trained])
    counts = np.bincount(items, minlength=NUM_ITEMS + 1)
    knn = ItemKNN(users, items, counts, ALL, neighbours=NUM_ITEMS)
    seen = [sorted(set(one)) for one in histories]
    ranked = knn.rank(k, rows_of(histories), rows_of(seen))
    for row, history in zip(ranked.tolist(), histories, strict=True):
        scores = plain_knn(trained, history, NUM_ITEMS)
        found = [item for item in row if item]
        assert len(set(found)) == len(found) == min(k, NUM_ITEMS - len(set(history)))
        assert not set(found) & set(history)
        best = sorted((score for item, score in scores.items() if item not in history), reverse=True)[:k]
        np.testing.assert_allclose([scores.get(item, 0.0) for item in found[: len(best)]], best, rtol=1e-5)
        rest = found[len(best) :]
        assert rest == sorted(rest, key=lambda item: (-counts[item], item))


def test_only_the_nearest_neighbours_count() -> None:
    """Item 1 was taken 3 times with 2, twice with 3 and once with 4."""
    trained = [{1, 2}, {1, 2, 3}, {1, 2, 3, 4}]
    users = np.repeat([0, 1, 2], [2, 3, 4])
    items = np.concatenate([sorted(one) for one in trained])
    counts = np.zeros(NUM_ITEMS + 1, np.int64)
    counts[9] = 7
    for neighbours, expected in ((1, [2, 9, 1, 3]), (3, [2, 3, 4, 9])):
        knn = ItemKNN(users, items, counts, ALL, neighbours=neighbours)
        assert knn.rank(4, rows_of([[1]]), rows_of([[]]))[0].tolist() == expected


def test_repetitions_count_once() -> None:
    users, items = np.array([0, 0, 0, 1, 1]), np.array([1, 3, 3, 1, 2])
    counts = np.bincount(items, minlength=5)
    once = ItemKNN(np.array([0, 0, 1, 1]), np.array([1, 3, 1, 2]), counts, ALL[:5])
    ask = (3, rows_of([[1, 1]]), rows_of([[1]]))
    assert ItemKNN(users, items, counts, ALL[:5]).rank(*ask).tolist() == once.rank(*ask).tolist()


def test_only_the_last_events_of_a_user_count() -> None:
    users, items = np.zeros(4, np.int64), np.array([1, 2, 3, 4])
    knn = ItemKNN(users, items, np.zeros(5, np.int64), ALL[:5], max_events=2)
    assert knn.rank(2, rows_of([[4], [2]]), rows_of([[4], [2]])).tolist() == [[3, 1], [1, 3]]


def test_a_history_of_nothing_gets_what_is_popular() -> None:
    knn = ItemKNN(np.array([0, 0]), np.array([1, 2]), np.array([0, 1, 1, 5]), ALL[:4])
    assert knn.rank(3, rows_of([[]]), rows_of([[]]))[0].tolist() == [3, 1, 2]


def test_blocks_do_not_change_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, 40, 400), rng.integers(1, 30, 400)
    counts = np.bincount(items, minlength=31)
    histories = rows_of(rng.integers(1, 30, (20, 5)).tolist())
    asked = (10, histories, histories)
    whole = ItemKNN(users, items, counts, np.arange(31), neighbours=5).rank(*asked)
    monkeypatch.setattr(baselines, "_PRODUCTS", 50)
    blocks = ItemKNN(users, items, counts, np.arange(31), neighbours=5).rank(*asked)
    np.testing.assert_array_equal(blocks, whole)


@given(st.integers(0, 1000), st.integers(1, 40), st.lists(st.integers(0, 50), min_size=1, max_size=5))
def test_no_baseline_offers_what_is_not_there(seed: int, k: int, times: list[int]) -> None:
    rng, time_Q = np.random.default_rng(seed), np.array(times)
    from_N = rng.integers(0, 40, 31)
    available = Availability(from_N, from_N + rng.integers(0, 30, 31))
    counts = np.append(0, rng.integers(0, 9, 30))
    users, items = rng.integers(0, 8, 60), rng.integers(1, 31, 60)
    exclude = [rng.integers(1, 31, 4) for _ in times]
    knn = ItemKNN(users, items, counts, np.arange(31), available=available)
    popular = Popularity(counts, available).rank(k, exclude, time_Q)
    for rows_QK in (popular, knn.rank(k, exclude, exclude, time_Q)):
        for rows, time, away in zip(rows_QK, times, exclude, strict=True):
            left = available.at(time)
            left[away] = False
            assert left[rows[rows > 0]].all()
            assert (rows > 0).sum() == min(k, left.sum())
    for rows, time, away in zip(popular, times, exclude, strict=True):
        order = [row for row in Popularity(counts).rank(30, [away])[0].tolist() if row and available.at(time)[row]]
        assert rows[rows > 0].tolist() == order[:k]
