"""The neighbours of all users at once are those that one query finds, and those of a dense computation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shortlist.statistics import user_neighbourhoods as module
from shortlist.statistics.user_knn import UserKNN
from shortlist.statistics.user_neighbourhoods import all_nearest, neighbourhoods

USERS, VALUES, ITEMS = 30, 25, 40


def some(seed: int) -> tuple[NDArray[np.int64], UserKNN]:
    """Values of the users, some of whom have none, and what they are compared by."""
    rng = np.random.default_rng(seed)
    values_UW = np.where(rng.random((USERS, 6)) < 0.7, rng.integers(1, VALUES, (USERS, 6)), 0)
    values_UW[0], values_UW[3] = 0, 0
    users = np.sort(rng.integers(1, USERS, 90))
    return values_UW, UserKNN.by(values_UW, VALUES, users, rng.integers(1, ITEMS, 90), ITEMS)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**31), most=st.integers(1, 40))
def test_the_neighbours_are_those_of_the_cosine(seed: int, most: int) -> None:
    values_UW, users = some(seed)
    dense = np.zeros((USERS, VALUES))
    for user, values in enumerate(values_UW):
        dense[user, values] = 1
    dense[:, 0] = 0
    found = {row: (near, similarity) for row, near, similarity in all_nearest(users, most)}
    assert set(found) == set(np.flatnonzero(dense.any(axis=1)).tolist())
    for row, (near, similarity) in found.items():
        cosines = dense @ dense[row] / np.sqrt(np.maximum(dense.sum(axis=1) * dense[row].sum(), 1))
        cosines[row] = 0
        expected = [user for user in np.argsort(-cosines.round(12), kind="stable").tolist() if cosines[user] > 0][:most]
        assert near.tolist() == expected
        np.testing.assert_allclose(similarity, cosines[near])


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 2**31), most=st.integers(1, 12), reach=st.none() | st.integers(1, 15), at_once=st.integers(1, 9)
)
def test_all_at_once_are_as_each_alone(seed: int, most: int, reach: int | None, at_once: int) -> None:
    values_UW, users = some(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_AT_ONCE", at_once)
        patch.setattr(module, "_PRODUCTS", 50)
        found = neighbourhoods(users, most, reach)
    counts, reachable, popularity = [], [], np.zeros(USERS, np.int64)
    for user in np.flatnonzero(values_UW.any(axis=1)).tolist():
        near, similarity = users.nearest(np.unique(values_UW[user]), most, user=user)
        own = users.items_P[users.item_starts[user] : users.item_starts[user + 1]]
        items = users.items_of(near, similarity, own, reach)
        counts.append(items.num_users)
        reachable.append(len(set(items.rows.tolist()) - set(own.tolist())))
        popularity[near[: items.num_users]] += 1
    assert found.neighbours_U.tolist() == counts
    assert found.reachable_U.tolist() == reachable
    assert found.popularity_U.tolist() == popularity[values_UW.any(axis=1)].tolist()
