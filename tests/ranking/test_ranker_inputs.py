"""What the network reads of a request."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_ranker import (
    NUM_ROWS,
    config_of,
    make_request,
)

from shortlist.ranking.network.inputs import InputReader, ItemTables, event_weights, key_shares


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**31), queries=st.integers(1, 4), length=st.integers(0, 6), width=st.integers(1, 3))
def test_shares_are_sums_over_the_history(seed, queries, length, width):
    rng = np.random.default_rng(seed)
    history = rng.integers(0, 6, (queries, length, width))
    weights = rng.random((queries, length, 2)).astype(np.float32)
    keys = rng.integers(0, 6, (queries, 3, 2))
    expected = np.zeros((queries, 3, 2, 2))
    for e, k, m in np.ndindex(queries, 3, 2):
        if keys[e, k, m]:
            for event in range(length):
                expected[e, k, m] += (history[e, event] == keys[e, k, m]).sum() * weights[e, event]
    np.testing.assert_allclose(key_shares(history, weights, keys, 6), expected, atol=1e-5)


def test_weights_of_events():
    weights = event_weights(np.array([0, 2, 4]), 4)
    assert weights[0].tolist() == [[0, 0]] * 4
    assert weights[1, :, 0].tolist() == [0.5, 0.5, 0, 0]
    assert weights[2, :, 0].tolist() == [0.25] * 4
    recent = weights[2, :, 1]
    assert recent[0] == pytest.approx(recent[3] / 2), "three events further back counts half"
    assert (np.diff(recent) > 0).all()
    assert weights[1, 1, 1] == recent[3], "the last event counts the same in every history"


def test_inputs_by_hand(store):
    request = replace(
        make_request(queries=1, candidates=2),
        history_EL=np.array([[7, 8, 7, 0, 0]]),
        length_E=np.array([3]),
        candidates_EK=np.array([[7, 10]]),
        retrieval_scores_EK=np.array([[3.0, 5.0]], np.float32),
    )
    assert (
        InputReader(config_of(store, embeddings=False), ItemTables(store.folder, store)).read(request).vectors_EKD
        is None
    )
    config = config_of(store, score_mean=3.0, score_std=2.0, popularity_mean=1.0, popularity_std=2.0)
    inputs = InputReader(config, ItemTables(store.folder, store)).read(request)
    assert inputs.score_EK.tolist() == [[0.0, 1.0]]
    np.testing.assert_array_equal(inputs.vectors_EKD[0, 0], np.load(store.folder / "vectors.npy")[6])
    assert inputs.keys_EKM[0, 0, 0] == 7
    assert store.popularity[10] == 0
    assert inputs.keys_EKM[0, 1, 0] == 0, "untrained: no key of its own"
    genres = store.item_categorical["genres"][7]
    np.testing.assert_array_equal(inputs.keys_EKM[0, 0, 1:4], np.where(genres > 0, genres + NUM_ROWS, 0))
    assert inputs.num_values_EKA[0, 0].tolist() == [1, max((genres > 0).sum(), 1), 1]
    numbers, popularity, shares = (
        inputs.numeric_EKF[0, 0, :2],
        inputs.numeric_EKF[0, 0, 2],
        inputs.numeric_EKF[0, 0, 3:],
    )
    np.testing.assert_array_equal(numbers, store.item_numeric[7])
    assert popularity == pytest.approx((np.log1p(store.popularity[7]) - 1.0) / 2.0)
    assert shares[0] == pytest.approx(2 / 3), "two of three events are the item itself"
    artist = store.item_categorical["artist"][:, 0]
    expected = (artist[[7, 8, 7]] == artist[7]).mean() if artist[7] else 0.0
    assert shares[4] == pytest.approx(expected)
