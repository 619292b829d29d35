"""Who is alike: what they have is counted as a loop would, bounded, and kept as it is on disk."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shortlist.statistics import user_knn as module
from shortlist.statistics.user_knn import UserKNN

NUM_ROWS = 9


def by_loop(users, items, history, candidates, most):
    """By the definition."""
    has = {user: set(items[users == user].tolist()) for user in sorted(set(users.tolist()))}
    taken = {item: sum(item in one for one in has.values()) for item in range(NUM_ROWS)}
    alike = {
        user: sum(taken[item] ** -0.5 for item in history if item in one) / np.sqrt(len(one) * len(history))
        for user, one in has.items()
    }
    best = sorted(alike, key=lambda user: -alike[user])[:most]
    return [sum(alike[user] ** 2 for user in best if item in has[user]) if item else 0 for item in candidates]


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**31), count=st.integers(1, 60))
def test_it_is_the_sum_of_a_loop(seed, count):
    rng = np.random.default_rng(seed)
    users, items = rng.integers(1, 12, count) * 7, rng.integers(1, NUM_ROWS, count)
    candidates = rng.integers(0, NUM_ROWS, (2, 5))
    histories = [[1, 2, 5], [8]]
    events = np.array([[5, 1, 2, 0], [8, 0, 0, 0]])
    found = UserKNN.of(users, items, NUM_ROWS).near(events, candidates)
    expected = [by_loop(users, items, *one, most=400) for one in zip(histories, candidates.tolist(), strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_those_who_are_most_alike_are_asked(monkeypatch):
    users, items = np.array([1, 1, 1, 2, 2, 3, 3, 3]), np.array([1, 2, 3, 1, 4, 1, 2, 5])
    monkeypatch.setattr(module, "_NUM_NEAREST", 2)
    found = UserKNN.of(users, items, NUM_ROWS).near(np.array([[1, 2]]), np.array([[3, 4, 5]]))
    np.testing.assert_allclose(found[0], by_loop(users, items, [1, 2], [3, 4, 5], most=2), rtol=1e-6)
    assert found[0, 1] == 0
    assert found[0, 0] == found[0, 2] > 0


def test_an_item_of_all_asks_some_of_them_from_first_to_last(monkeypatch):
    monkeypatch.setattr(module, "_MAX_USERS", 4)
    users = np.arange(10)
    alike = UserKNN.of(np.append(users, [0, 1]), np.append(np.full(10, 3), [4, 4]), NUM_ROWS)
    of_3 = alike.users_P[alike.user_starts[3] : alike.user_starts[4]]
    assert len(of_3) == 4
    assert of_3.min() < 3
    assert of_3.max() == 9
    assert alike.users_P[alike.user_starts[4] :].tolist() == [0, 1]


def test_of_a_user_the_last_events_count(monkeypatch):
    monkeypatch.setattr(module, "_MAX_EVENTS", 2)
    alike = UserKNN.of(np.array([5, 5, 5, 6]), np.array([1, 2, 3, 1]), NUM_ROWS)
    assert alike.items_P.tolist() == [2, 3, 1]


def test_saved_and_opened_it_is_the_same(tmp_path):
    made = UserKNN.of(np.array([1, 1, 2, 2]), np.array([3, 4, 3, 5]), NUM_ROWS)
    made.save(tmp_path)
    opened, asked = UserKNN.open(tmp_path), (np.array([[3]]), np.array([[4, 5, 6]]))
    np.testing.assert_array_equal(opened.near(*asked), made.near(*asked))
    np.save(tmp_path / "alike_users.npy", made.users_P[1:])
    with pytest.raises(ValueError, match="alike_users"):
        UserKNN.open(tmp_path)
    (tmp_path / "alike_users.npy").unlink()
    with pytest.raises(ValueError, match="cannot be read"):
        UserKNN.open(tmp_path)
