"""The straight line that the ranker begins with: the best fit of a conditional logit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shortlist.ranking.training.conditional_logit import conditional_logit


def drawn(seed: int, queries: int, candidates: int, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers, and one candidate of each query, chosen as the model says."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(queries, candidates, len(true)))
    best = (numbers @ true + rng.gumbel(size=(queries, candidates))).argmax(axis=1)
    return numbers, np.arange(candidates) == best[:, None]


def test_it_finds_the_weights_that_the_choices_were_drawn_by():
    true = np.array([1.0, -0.5, 0.0])
    numbers, chosen = drawn(0, 5_000, 20, true)
    found = conditional_logit(numbers, np.ones(chosen.shape, bool), chosen)
    np.testing.assert_allclose(found, true, atol=0.06)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1_000), st.integers(1, 3))
def test_its_gradient_is_nothing(seed, num_chosen):
    """What is expected of the numbers is what was chosen of them, every query counting alike, less the ridge."""
    numbers, _ = drawn(seed, 40, 12, np.array([0.7, 0.2]))
    rng = np.random.default_rng(seed)
    inside = rng.random((40, 12)) < 0.8
    inside[:, :num_chosen] = True
    chosen = np.zeros((40, 12), bool)
    chosen[:, :num_chosen] = True
    found = conditional_logit(numbers, inside, chosen)
    odds = np.where(inside, np.exp(numbers @ found), 0)
    expected = np.einsum("qk,qkn->n", odds / odds.sum(axis=1, keepdims=True), numbers) / 40
    given_ = np.einsum("qk,qkn->n", chosen / num_chosen, numbers) / 40
    np.testing.assert_allclose(given_ - expected, 2e-4 * found, atol=1e-4)


def test_what_always_tells_does_not_run_away():
    numbers = np.array([[[1.0], [0.0]]] * 10)
    chosen = np.array([[True, False]] * 10)
    (found,) = conditional_logit(numbers, np.ones((10, 2), bool), chosen)
    assert found == pytest.approx(6.5, abs=1)
