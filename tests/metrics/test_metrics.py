"""Metrics and their intervals, against hand-computed lists and plain Python."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from shortlist.metrics.bootstrap import intervals
from shortlist.metrics.ranking import coverage, find_hits, ranking_metrics
from shortlist.recipe.metrics import METRICS


def one_query(rows: list[int], targets: list[int], k: int) -> dict[str, float]:
    """The definitions in plain Python."""
    hits = [row in targets and row > 0 for row in rows[:k]]
    ranks = [i + 1 for i, hit in enumerate(hits) if hit]
    best = min(k, len(targets))
    if not targets:
        return dict.fromkeys(METRICS, 0.0)
    return {
        "recall": sum(hits) / len(targets),
        "hit_rate": float(any(hits)),
        "mrr": 1 / ranks[0] if ranks else 0.0,
        "ndcg": sum(1 / math.log2(i + 1) for i in ranks) / sum(1 / math.log2(i + 1) for i in range(1, best + 1)),
        "map": sum(sum(hits[:i]) / i for i in ranks) / best,
    }


@given(
    lists=st.lists(
        st.tuples(
            st.lists(st.integers(1, 12), min_size=6, max_size=6, unique=True), st.sets(st.integers(1, 12), max_size=8)
        ),
        min_size=1,
        max_size=8,
    ),
    empty_tail=st.integers(0, 6),
)
def test_all_queries_at_once_agree_with_one_at_a_time(lists: list[tuple[list[int], set[int]]], empty_tail: int) -> None:
    rows = np.array([row for row, _ in lists])
    rows[:, 6 - empty_tail :] = 0
    targets = [sorted(wanted) for _, wanted in lists]
    offsets = np.cumsum([0, *map(len, targets)])
    hits = find_hits(rows, offsets, np.array([item for one in targets for item in one], np.int32))
    measured = ranking_metrics(hits, np.diff(offsets), [1, 3, 6, 10])
    for k in (1, 3, 6, 10):
        for metric in METRICS:
            plain = [one_query(list(row), one, k)[metric] for row, one in zip(rows.tolist(), targets, strict=True)]
            np.testing.assert_allclose(measured[f"{metric}_at_{k}"], plain, atol=1e-12)


def test_a_list_computed_by_hand() -> None:
    """Ranked 5 9 2 7, targets 9, 7 and 4: hits at ranks 2 and 4."""
    hits = find_hits(np.array([[5, 9, 2, 7]]), np.array([0, 3]), np.array([9, 7, 4]))
    assert hits.tolist() == [[False, True, False, True]]
    at_4 = {name: values[0] for name, values in ranking_metrics(hits, np.array([3]), [2, 4]).items()}
    assert at_4["recall_at_4"] == pytest.approx(2 / 3)
    assert at_4["recall_at_2"] == pytest.approx(1 / 3)
    assert at_4["hit_rate_at_4"] == 1
    assert at_4["mrr_at_4"] == 0.5
    assert at_4["map_at_4"] == pytest.approx((1 / 2 + 2 / 4) / 3)
    assert at_4["ndcg_at_4"] == pytest.approx((1 / math.log2(3) + 1 / math.log2(5)) / (1 + 1 / math.log2(3) + 1 / 2))
    assert at_4["ndcg_at_2"] == pytest.approx((1 / math.log2(3)) / (1 + 1 / math.log2(3)))


def test_a_perfect_list_has_one_and_padding_is_no_hit() -> None:
    hits = find_hits(np.array([[3, 1, 0], [0, 0, 0]]), np.array([0, 2, 3]), np.array([1, 3, 2]))
    measured = ranking_metrics(hits, np.array([2, 1]), [2])
    assert all(values[0] == pytest.approx(1) and values[1] == 0 for values in measured.values())
    assert not find_hits(np.array([[0]]), np.array([0, 1]), np.array([0])).any()


def test_no_targets_at_all() -> None:
    hits = find_hits(np.array([[3, 1]]), np.array([0, 0]), np.zeros(0, np.int32))
    assert all(values.tolist() == [0.0] for values in ranking_metrics(hits, np.array([0]), [1, 5]).values())


def test_coverage_counts_each_shown_item_once() -> None:
    rows = np.array([[1, 2, 3], [2, 1, 0]])
    assert coverage(rows, 4, 1) == 0.5
    assert coverage(rows, 4, 3) == 0.75


@given(hnp.arrays(np.float64, (30, 2), elements=st.floats(0, 1)), st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_intervals_hold_the_mean_and_are_the_seeds(values: np.ndarray, seed: int) -> None:
    mean, low, high = intervals(values, resamples=200, confidence=0.95, seed=seed)
    np.testing.assert_allclose(mean, values.mean(axis=0))
    assert np.all(low <= mean + 1e-9)
    assert np.all(mean <= high + 1e-9)
    again = intervals(values, resamples=200, confidence=0.95, seed=seed)
    np.testing.assert_array_equal(np.stack([mean, low, high]), np.stack(again))


def test_intervals_are_as_wide_as_theory_says(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=(2_000, 1))
    monkeypatch.setattr("shortlist.metrics.bootstrap._BLOCK", 100_000)
    _, low, high = intervals(values, resamples=1_000, confidence=0.95, seed=1)
    assert (high - low)[0] == pytest.approx(2 * 1.96 / math.sqrt(2_000), rel=0.1)


def test_differences_are_paired() -> None:
    """Two systems that differ by a constant: the interval of the difference has no width."""
    one = np.random.default_rng(0).random(500)
    _, low, high = intervals(
        np.stack([one, one + 0.01, np.full(500, 0.01)], axis=1), resamples=100, confidence=0.95, seed=0
    )
    assert high[2] - low[2] < 1e-9
    np.testing.assert_allclose(low[1] - low[0], 0.01)


def test_no_queries_have_no_interval() -> None:
    assert [array.tolist() for array in intervals(np.zeros((0, 1)), resamples=10, confidence=0.9, seed=0)] == [
        [0.0]
    ] * 3
