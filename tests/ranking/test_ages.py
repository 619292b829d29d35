"""The time since the last event of a candidate, as the ranker reads it."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hand_made import HISTORY_LENGTH, item_vectors, recipe_of, write_index, write_prepared, write_retrieval
from hypothesis import given, settings
from hypothesis import strategies as st
from made_ranker import make_ranker, make_request, one_of

from shortlist.features import Queries
from shortlist.ranking.network.inputs import InputReader, ItemTables, last_ages
from shortlist.ranking.ranker import Ranker
from shortlist.ranking.training.train_ranking import train_ranking
from shortlist.recommend.request import RankingRequest

AGES = {"age_mean": 1.0, "age_std": 0.5}


def with_ages(request: RankingRequest, seed: int = 0) -> RankingRequest:
    """Ages that fall along each history."""
    drawn_EL = np.random.default_rng(seed).gamma(1.0, 30.0, request.history_EL.shape).astype(np.float32)
    return replace(request, history_age_EL=-np.sort(-drawn_EL, axis=1) * (request.history_EL > 0))


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**31), queries=st.integers(1, 4), length=st.integers(0, 8))
def test_the_age_is_that_of_the_last_event_of_the_candidate(seed, queries, length):
    rng = np.random.default_rng(seed)
    request = with_ages(make_request(queries, 6, seed, length), seed)
    request = replace(request, history_EL=np.where(request.history_EL > 0, rng.integers(1, 5, (queries, length)), 0))
    request = replace(request, candidates_EK=rng.integers(0, 7, (queries, 6)))
    days, had = last_ages(request)
    for e, k in np.ndindex(queries, 6):
        events = np.flatnonzero(request.history_EL[e] == request.candidates_EK[e, k])
        known = len(events) > 0 and request.candidates_EK[e, k] > 0
        assert had[e, k] == known
        assert days[e, k] == (request.history_age_EL[e, events[-1]] if known else 0)


def test_the_feature_is_the_standardised_logarithm_of_the_days(store):
    request = replace(
        make_request(queries=1, candidates=3),
        history_EL=np.array([[7, 8, 7, 0, 0]]),
        length_E=np.array([3]),
        history_age_EL=np.array([[90.0, 30.0, 6.0, 0.0, 0.0]], np.float32),
        candidates_EK=np.array([[7, 8, 10]]),
    )
    reader = InputReader(make_ranker(store, **AGES).model.config, ItemTables(store.folder, store))
    found = reader.read(request).numeric_EKF[0, :, -1]
    np.testing.assert_allclose(found, [(np.log(7) - 1) / 0.5, (np.log(31) - 1) / 0.5, 0], rtol=1e-6)


def test_ages_are_days_from_the_events_to_the_query():
    queries = Queries(
        history_BL=np.array([[4, 5, 6, 0], [7, 0, 0, 0]]),
        window_E=np.array([0, 0, 1]),
        prefix_E=np.array([2, 3, 1]),
        user_E=np.zeros(3, np.int64),
        categorical={},
        numeric_EF=np.zeros((3, 0), np.float32),
        times_BL=np.array([[0, 86_400, 172_800, 0], [500_000, 0, 0, 0]]),
    )
    time_E = np.array([172_800, 172_800 + 43_200, 432_000])
    expected = [[2, 1, 0, 0], [2.5, 1.5, 0.5, 0], [0, 0, 0, 0]]
    np.testing.assert_array_equal(queries.ages(time_E), expected)
    at = np.array([2, 1])
    np.testing.assert_array_equal(queries.take(at).ages(time_E[at]), [expected[2], expected[1]])
    assert replace(queries, times_BL=None).ages(time_E) is None


def test_the_ranker_reads_them_the_same_alone_in_company_and_from_bytes(store, tmp_path):
    ranker, request = make_ranker(store, **AGES), with_ages(make_request(queries=4, candidates=6))
    # Candidates of the history, so that there are ages to read.
    events_E = np.maximum(request.history_EL[:, 0], 1)
    request = replace(request, candidates_EK=np.where(np.arange(6) == 0, events_E[:, None], request.candidates_EK))
    scores = ranker.score(request)
    alone = [ranker.score(one_of(request, e))[0] for e in range(4)]
    np.testing.assert_allclose(alone, scores, atol=1e-6)
    received, _ = RankingRequest.from_bytes(request.to_bytes("r"))
    ranker.save(tmp_path, {})
    opened = Ranker.open(tmp_path, store.folder, store)
    np.testing.assert_array_equal(opened.score(received), scores)
    older = replace(request, history_age_EL=request.history_age_EL + np.float32(100) * (request.history_EL > 0))
    assert not np.allclose(ranker.score(older), scores, atol=1e-4)


def test_a_request_of_a_release_that_does_not_read_them_is_refused(store):
    with pytest.raises(ValueError, match="has no history_age, this release reads one"):
        make_ranker(store, **AGES).score(make_request())
    with pytest.raises(ValueError, match="has a history_age, this release reads none"):
        make_ranker(store).score(with_ages(make_request()))


@pytest.mark.parametrize("wrong", [-1.0, np.nan, np.inf])
def test_ages_that_are_none_are_refused(wrong):
    request = with_ages(make_request())
    body = replace(request, history_age_EL=np.full_like(request.history_age_EL, wrong)).to_bytes("r")
    with pytest.raises(ValueError, match="history_age must be finite and at least 0"):
        RankingRequest.from_bytes(body)
    with pytest.raises(ValueError, match="there must be one for each event"):
        replace(request, history_age_EL=request.history_age_EL[:, 1:])


def test_without_ages_no_file_mentions_them(store, tmp_path):
    make_ranker(store).save(tmp_path, {})
    assert not [name for name in json.loads((tmp_path / "ranking.json").read_text())["network"] if "age_" in name]


def test_a_rhythm_of_buying_again_is_learnt(tmp_path):
    """Everybody buys again what they had four weeks ago, at whatever place of the history it is."""
    rng, num_items, now = np.random.default_rng(0), 80, 3_600
    histories, targets, times = [], [], []
    for _ in range(150):
        rows, place = rng.permutation(num_items)[:HISTORY_LENGTH] + 1, rng.integers(HISTORY_LENGTH)
        older = np.sort(rng.uniform(60, 200, place))[::-1]
        newer = np.sort(rng.uniform(0, 10, HISTORY_LENGTH - place - 1))[::-1]
        days = np.concatenate([older, rng.uniform(26, 30, 1), newer])
        histories.append(rows.tolist())
        targets.append([int(rows[place])])
        times.append((now - 86_400 * days).astype(np.int64).tolist())
    prepared = write_prepared(
        tmp_path / "prepared", histories, targets, num_items, popularity=[1] * num_items, times=times
    )
    write_retrieval(tmp_path / "retrieval", item_vectors(num_items))
    write_index(tmp_path / "index", item_vectors(num_items))
    training = {"batch_size": 32, "epochs": 8, "learning_rate": 0.01, "threads": 1}
    made = recipe_of(
        candidates={"sources": [{"kind": "two_tower"}, {"kind": "repeats", "by": "time"}]},
        ranking={"candidates": 20, "neighbours": 0, "training": training},
        evaluation={"mask_seen": False},
    )
    metrics = train_ranking(made, prepared, tmp_path / "retrieval", tmp_path / "index", tmp_path / "ranking").metrics
    assert metrics["heldout_ndcg_at_10_ranked"] > metrics["heldout_ndcg_at_10_retrieved"] + 0.25
