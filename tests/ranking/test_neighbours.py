"""ItemNeighbours: found as the formulas say, summed as a loop would, kept as they are on disk."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shortlist.ranking.network.nearness import nearness
from shortlist.recommend.request import RankingRequest
from shortlist.statistics import find_neighbours as search
from shortlist.statistics.find_neighbours import find_neighbours
from shortlist.statistics.item_neighbours import ItemNeighbours
from shortlist.statistics.item_statistics import ItemStatistics
from shortlist.statistics.user_knn import UserKNN

NUM_ROWS = 9


def brute_force(users, items, keep):
    """Both tables by the definitions, dense."""
    of_item = [set(users[items == i].tolist()) for i in range(NUM_ROWS)]
    says = {user: len(set(items[users == user].tolist())) ** -0.5 for user in set(users.tolist())}
    together, follows = np.zeros((NUM_ROWS, NUM_ROWS)), np.zeros((NUM_ROWS, NUM_ROWS))
    for i in range(1, NUM_ROWS):
        for j in range(1, NUM_ROWS):
            together[i, j] = sum(says[user] for user in of_item[i] & of_item[j])
    for a in range(len(users)):
        for b in range(a + 1, min(a + 6, len(users))):
            if users[a] == users[b]:
                follows[items[a], items[b]] += 1 / (b - a)
    norm = np.sqrt([max(len(one), 1) for one in of_item])
    found = []
    for counts in (together, follows):
        table = counts / norm[:, None] / norm
        np.fill_diagonal(table, 0)
        found.append(np.sort(table, axis=1)[:, ::-1][:, :keep])
    return np.stack(found)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**31), count=st.integers(2, 40), keep=st.integers(1, 8))
def test_they_are_what_the_formulas_say(seed, count, keep):
    rng = np.random.default_rng(seed)
    users, items = np.sort(rng.integers(1, 5, count)), rng.integers(1, NUM_ROWS, count)
    found = find_neighbours(users, items, NUM_ROWS, keep)
    np.testing.assert_allclose(found.weights_TNn, brute_force(users, items, keep), atol=1e-6)
    assert ((found.rows_TNn > 0) == (found.weights_TNn > 0)).all()
    assert (found.rows_TNn[:, 1:] != np.arange(1, NUM_ROWS)[:, None]).all(), "nothing is its own neighbour"


def test_who_has_much_says_less_of_each_pair():
    found = find_neighbours(np.array([1, 1, 2, 2, 2, 2]), np.array([3, 4, 5, 6, 7, 8]), NUM_ROWS, 1)
    np.testing.assert_allclose(found.weights_TNn[0, [3, 5], 0], [2**-0.5, 4**-0.5], rtol=1e-6)


def test_without_order_nothing_follows():
    users, items = np.array([1, 1, 2, 2]), np.array([3, 4, 3, 5])
    ordered = find_neighbours(users, items, NUM_ROWS, 2)
    found = find_neighbours(users, items, NUM_ROWS, 2, ordered=False)
    np.testing.assert_array_equal(found.rows_TNn, ordered.rows_TNn[:1])
    np.testing.assert_array_equal(found.weights_TNn, ordered.weights_TNn[:1])


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    users, items = np.sort(rng.integers(1, 9, 60)), rng.integers(1, NUM_ROWS, 60)
    whole = find_neighbours(users, items, NUM_ROWS, 4)
    monkeypatch.setattr(search, "_PRODUCTS", 7)
    parts = find_neighbours(users, items, NUM_ROWS, 4)
    np.testing.assert_array_equal(whole.rows_TNn, parts.rows_TNn)
    np.testing.assert_array_equal(whole.weights_TNn, parts.weights_TNn)


def test_what_follows_is_not_what_precedes():
    found = find_neighbours(np.array([1, 1, 2, 2]), np.array([3, 4, 3, 4]), NUM_ROWS, 2)
    assert found.rows_TNn[1, 3].tolist() == [4, 0]
    assert found.rows_TNn[1, 4].tolist() == [0, 0]
    assert found.rows_TNn[0, 4].tolist() == [3, 0], "together they are both ways"


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**31), queries=st.integers(1, 4), candidates=st.integers(1, 7))
def test_nearness_is_the_sum_of_a_loop(seed, queries, candidates):
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, NUM_ROWS, (2, NUM_ROWS, 3)).astype(np.int32)
    neighbours = ItemNeighbours(rows, rng.random(rows.shape, np.float32))
    events, asked = rng.integers(0, NUM_ROWS, (queries, 4)), rng.integers(0, NUM_ROWS, (queries, candidates))
    weight = rng.random((queries, 4, 2), np.float32)
    expected = np.zeros((queries, candidates, 2, 2))
    for e, k, t, event, n in np.ndindex(queries, candidates, 2, 4, 3):
        if asked[e, k] and rows[t, events[e, event], n] == asked[e, k]:
            expected[e, k, t] += neighbours.weights_TNn[t, events[e, event], n] * weight[e, event]
    found = neighbours.near(events, weight, asked)
    np.testing.assert_allclose(found, expected.reshape(queries, candidates, 4), atol=1e-5)
    squared = ItemNeighbours(rows, neighbours.weights_TNn**2).near(events, weight, asked)
    expected = np.where(np.arange(4) % 2 == 0, found, squared)
    np.testing.assert_allclose(neighbours.near(events, weight, asked, powers=(1, 2)), expected, atol=1e-5)


def test_as_many_events_count_as_the_ranker_reads():
    rows = np.zeros((2, NUM_ROWS, 1), np.int32)
    rows[0, 3] = 4
    neighbours = ItemNeighbours(rows, np.ones(rows.shape, np.float32))
    numbers = np.zeros((1, 1), np.float32)
    history, length, user, candidates = np.array([[3, 5, 5, 5]]), np.array([4]), np.array([0]), np.array([[4]])
    request = RankingRequest(history, length, user, {}, numbers, numbers, candidates, numbers)
    last_three = nearness(request, ItemStatistics(neighbours), 3, ordered=True)
    assert last_three.sum() == 0, "the first event is not among the last three"
    np.testing.assert_allclose(
        nearness(request, ItemStatistics(neighbours), 4, ordered=True)[0, 0, 2], 1 / 4, rtol=1e-6
    )


def test_without_an_order_four_numbers_say_how_near_a_candidate_is():
    rows = np.zeros((1, NUM_ROWS, 1), np.int32)
    rows[0, [3, 4, 6], 0] = 4, 5, 7
    neighbours = ItemNeighbours(rows, np.full(rows.shape, 0.5, np.float32))
    alike = UserKNN.of(np.array([1, 1, 2, 2]), np.array([3, 6, 7, 4]), NUM_ROWS)
    numbers = np.zeros((1, 1), np.float32)

    def near(*candidates: int) -> NDArray[np.float32]:
        asked = np.array([candidates])
        request = RankingRequest(
            np.array([[3, 8, 8, 8]]),
            np.array([4]),
            np.array([0]),
            {},
            numbers,
            numbers,
            asked,
            np.zeros(asked.shape, np.float32),
        )
        return nearness(request, ItemStatistics(neighbours, alike), 4, ordered=False)[0]

    # Of four events one has 4 for a neighbour, by a half, and 4 has 5; who has 3 of the four has 6 too.
    expected = [[1 / 8, 1 / 4, 0, 0], [0, 0, 1 / 16, 0], [0, 0, 0, 1 / 8], [0, 0, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(near(4, 5, 6, 7, 0), expected, rtol=1e-6)
    assert not near(5).any(), "4 is not there to lead to it"


def test_saved_and_opened_they_are_the_same(tmp_path):
    made = find_neighbours(np.array([1, 1, 2, 2]), np.array([3, 4, 3, 5]), NUM_ROWS, 2)
    made.save(tmp_path)
    opened = ItemNeighbours.open(tmp_path, 2)
    np.testing.assert_array_equal(opened.rows_TNn, made.rows_TNn)
    np.testing.assert_array_equal(opened.weights_TNn, made.weights_TNn)
    with pytest.raises(ValueError, match="reads 1 tables"):
        ItemNeighbours.open(tmp_path, 1)
    np.save(tmp_path / "neighbour_weights.npy", made.weights_TNn[:, :, :1])
    with pytest.raises(ValueError, match="neighbour_rows"):
        ItemNeighbours.open(tmp_path, 2)
    (tmp_path / "neighbour_rows.npy").unlink()
    with pytest.raises(ValueError, match="cannot be read"):
        ItemNeighbours.open(tmp_path, 2)
