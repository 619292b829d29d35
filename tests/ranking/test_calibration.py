"""The sigmoid that makes probabilities of logits, on probabilities that are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shortlist.ranking.training.calibration import calibrated, calibration_error, fit_platt, reliability


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (0.5, -3.0), (4.0, 2.0)])
def test_finds_the_sigmoid_that_made_the_labels(slope, intercept):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=200_000)
    positive = rng.random(len(logits)) < 1 / (1 + np.exp(-(slope * logits + intercept)))
    found = fit_platt(logits, positive)
    assert found == pytest.approx((slope, intercept), rel=0.05, abs=0.05)
    assert calibration_error(calibrated(logits, *found), positive) < 0.005
    assert (
        calibration_error(calibrated(logits, *found), positive)
        <= calibration_error(calibrated(logits, 1.0, 0.0), positive) + 1e-3
    )


def test_the_mean_probability_is_the_share_of_positives():
    rng = np.random.default_rng(1)
    logits = rng.normal(size=50_000) * 3 + 7
    positive = rng.random(len(logits)) < 0.002
    assert calibrated(logits, *fit_platt(logits, positive)).mean() == pytest.approx(positive.mean(), rel=0.05)


@pytest.mark.parametrize("positive", [np.zeros(100, bool), np.ones(100, bool)])
def test_labels_of_one_kind_give_finite_numbers(positive):
    logits = np.linspace(-3, 3, 100)
    slope, intercept = fit_platt(logits, positive)
    assert slope > 0
    assert np.isfinite(intercept)
    assert abs(calibrated(logits, slope, intercept) - positive).max() < 0.05


def test_nothing_at_all_gives_finite_numbers():
    slope, intercept = fit_platt(np.zeros(0), np.zeros(0, bool))
    assert slope > 0
    assert np.isfinite(intercept)
    assert calibration_error(np.zeros(0), np.zeros(0, bool)) == 0
    assert reliability(np.zeros(0), np.zeros(0, bool)) == []


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**31),
    count=st.integers(2, 200),
    scale=st.floats(1e-3, 1e3),
    share=st.floats(0.0, 1.0),
    against=st.booleans(),
)
def test_the_order_always_stays(seed, count, scale, share, against):
    rng = np.random.default_rng(seed)
    logits = np.sort(rng.normal(size=count) * scale)
    positive = rng.random(count) < share
    positive = np.sort(positive)[::-1] if against else positive
    slope, intercept = fit_platt(logits, positive)
    assert slope > 0
    assert np.isfinite([slope, intercept]).all()
    assert (np.diff(calibrated(logits, slope, intercept)) >= 0).all()


def test_error_by_hand():
    probabilities = np.array([0.1, 0.1, 0.8, 0.8])
    positive = np.array([False, True, True, True])
    assert calibration_error(probabilities, positive, bins=2) == pytest.approx((0.4 + 0.2) / 2)
    np.testing.assert_allclose(reliability(probabilities, positive, bins=2), [[0.1, 0.5, 2], [0.8, 1.0, 2]])
