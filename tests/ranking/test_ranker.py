"""The ranker: it scores a query the same in any company, and every part of it counts."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_ranker import (
    NUM_ROWS,
    NUM_USERS,
    VARIANTS,
    make_ranker,
    make_request,
    one_of,
)

from shortlist.ranking.ranker import Ranker
from shortlist.recommend.request import RankingRequest


@settings(deadline=None, max_examples=30)
@given(
    queries=st.integers(1, 6),
    candidates=st.integers(1, 12),
    seed=st.integers(0, 2**31),
    users=st.booleans(),
    variant=st.sampled_from(sorted(VARIANTS)),
)
def test_a_batch_scores_as_its_queries_one_by_one(store, queries, candidates, seed, users, variant):
    ranker = make_ranker(store, users=users, **VARIANTS[variant])
    request = make_request(queries, candidates, seed)
    together = ranker.score(request)
    assert together.shape == (queries, candidates)
    assert together.dtype == np.float32
    assert np.isfinite(together).all()
    singles = [one_of(request, e) for e in range(queries)]
    np.testing.assert_allclose(np.concatenate([ranker.score(one) for one in singles]), together, atol=1e-5)
    np.testing.assert_allclose(ranker.score(RankingRequest.stack(singles)), together, atol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_order_of_the_candidates_does_not_matter(store, variant):
    ranker, request = make_ranker(store, **VARIANTS[variant]), make_request(queries=2, candidates=6)
    order = np.random.default_rng(3).permutation(6)
    turned = replace(
        request,
        candidates_EK=request.candidates_EK[:, order],
        retrieval_scores_EK=request.retrieval_scores_EK[:, order],
    )
    np.testing.assert_allclose(ranker.score(turned), ranker.score(request)[:, order], atol=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_comes_in_bytes_to_a_saved_ranker_scores_as_trained(store, tmp_path, variant):
    ranker, request = make_ranker(store, **VARIANTS[variant]), make_request(queries=3)
    ranker.save(tmp_path, {})
    served = Ranker.open(tmp_path, store.folder, store)
    received, _ = RankingRequest.from_bytes(request.to_bytes("r"))
    np.testing.assert_allclose(served.score(received), ranker.score(request), atol=1e-6)


@pytest.mark.parametrize("variant", ["attention", "neighbours"])
def test_the_history_and_its_order_matter(store, variant):
    ranker = make_ranker(store, **VARIANTS[variant])
    request = replace(make_request(queries=1), history_EL=np.array([[1, 2, 3, 4, 6]]), length_E=np.array([5]))
    turned = replace(request, history_EL=np.array([[6, 4, 3, 2, 1]]))
    assert np.abs(ranker.logits(request) - ranker.logits(turned)).max() > 1e-3


def test_what_was_popular_of_late_counts_in_a_straight_line(store):
    """Bent, two such numbers would name nearly every item, and the window that teaches would be learnt by heart."""
    ranker, request = make_ranker(store, **VARIANTS["recent"]), make_request(queries=3)
    logits = []
    for log_count in (0.0, 1.0, 2.0):
        recent_NR = np.full((NUM_ROWS, 2), np.expm1(log_count), np.float32)
        ranker.model.tables.statistics = replace(ranker.model.tables.statistics, recent_NR=recent_NR)
        logits.append(ranker.logits(request))
    assert np.abs(logits[1] - logits[0]).max() > 1e-2
    np.testing.assert_allclose(logits[2] - logits[1], logits[1] - logits[0], atol=1e-4)


def test_without_retrieval_scores_and_vectors_are_not_read(store):
    ranker, request = make_ranker(store, retrieval=False), make_request()
    other = replace(
        request,
        query_vector_ED=request.query_vector_ED + 1,
        retrieval_scores_EK=np.where(request.candidates_EK > 0, 5.0, 0.0).astype(np.float32),
    )
    np.testing.assert_array_equal(ranker.score(other), ranker.score(request))


@pytest.mark.parametrize("variant", VARIANTS)
def test_padding_scores_0_and_does_not_disturb(store, variant):
    ranker, request = make_ranker(store, **VARIANTS[variant]), make_request(queries=1, candidates=4)
    request = replace(request, candidates_EK=np.array([[5, 9, 3, 0]]), retrieval_scores_EK=np.ones((1, 4), np.float32))
    scores = ranker.score(request)
    assert scores[0, 3] == 0
    assert (scores[0, :3] > 0).all()
    short = replace(
        request, candidates_EK=request.candidates_EK[:, :3], retrieval_scores_EK=request.retrieval_scores_EK[:, :3]
    )
    np.testing.assert_allclose(ranker.score(short), scores[:, :3], atol=1e-6)


def test_scores_come_through_bytes_unchanged(store):
    ranker, request = make_ranker(store), make_request()
    received, _ = RankingRequest.from_bytes(request.to_bytes("r"))
    np.testing.assert_array_equal(ranker.score(received), ranker.score(request))


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "without retrieval"])
def test_untrained_it_keeps_the_order_of_retrieval(store, variant):
    request = make_request(queries=4, candidates=10)
    scores = make_ranker(store, trained=False, embeddings=False).score(request)
    np.testing.assert_array_equal(scores, make_ranker(store, trained=False, **VARIANTS[variant]).score(request))
    for e in range(4):
        inside = request.candidates_EK[e] > 0
        by_retrieval = np.argsort(request.retrieval_scores_EK[e][inside])
        np.testing.assert_array_equal(np.argsort(scores[e][inside]), by_retrieval)


def test_scores_are_the_calibrated_logits(store):
    ranker, request = make_ranker(store), make_request()
    inside = request.candidates_EK > 0
    expected = 1 / (1 + np.exp(-(0.7 * ranker.logits(request) - 1.0)))
    np.testing.assert_allclose(ranker.score(request)[inside], expected[inside], rtol=1e-5)


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("history_EL", lambda r: np.where(r.history_EL > 0, r.history_EL % (NUM_ROWS - 1) + 1, 0)),
        ("user_E", lambda r: (r.user_E + 1) % NUM_USERS),
        ("numeric_EF", lambda r: r.numeric_EF + 1),
        ("query_vector_ED", lambda r: r.query_vector_ED + 1),
        ("retrieval_scores_EK", lambda r: r.retrieval_scores_EK + 1),
        ("candidates_EK", lambda r: np.where(r.candidates_EK > 0, r.candidates_EK % (NUM_ROWS - 1) + 1, 0)),
        ("categorical", lambda r: {n: (rows + 1) % 4 for n, rows in r.categorical.items()}),
    ],
)
def test_every_part_of_the_request_counts(store, field, change):
    ranker, request = make_ranker(store), make_request(queries=8, seed=3)
    other = replace(request, **{field: change(request)})
    assert not np.allclose(ranker.score(request), ranker.score(other), atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"candidates_EK": np.full((3, 6), NUM_ROWS)}, "candidates has rows outside 0 to 40"),
        ({"candidates_EK": np.full((3, 6), -1)}, "candidates"),
        ({"history_EL": np.full((3, 5), NUM_ROWS)}, "history"),
        ({"user_E": np.full(3, NUM_USERS)}, "user"),
        ({"categorical": {"clock.hour": np.ones((3, 1), np.int64)}}, "fields"),
        ({"categorical": {"clock.hour": np.full((3, 1), 25), "user.town": np.ones((3, 1), np.int64)}}, "clock.hour"),
        ({"numeric_EF": np.zeros((3, 3), np.float32)}, "numeric has width 3"),
        ({"query_vector_ED": np.zeros((3, 4), np.float32)}, "query_vector has width 4"),
    ],
)
def test_a_request_of_another_release_is_a_value_error(store, change, message):
    with pytest.raises(ValueError, match=message):
        make_ranker(store).score(replace(make_request(), **change))
