"""Which items a step compares, against how often they really come."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hand_made import write_prepared

from shortlist.features.availability import FOREVER, Availability
from shortlist.recipe import Retrieval
from shortlist.retrieval.negatives import NegativeSampler, drawable

ITEMS = 50
POPULARITY = np.append(0, 1000 // np.arange(1, ITEMS))  # row 0 is no item


def negatives(kind: str, drawable: np.ndarray | None = None, loss: str = "softmax", **more: int) -> NegativeSampler:
    settings = {"loss": {"kind": loss}, "negatives": {"kind": kind, **more}}
    return NegativeSampler(Retrieval.model_validate(settings), POPULARITY, drawable)


def draws(rng: np.random.Generator, count: int = 40) -> np.ndarray:
    return rng.choice(ITEMS, count, p=POPULARITY / POPULARITY.sum())


@pytest.mark.parametrize("settings", [
    {"kind": "in_batch"},
    {"kind": "mixed", "num_uniform": 15},
    {"kind": "mixed", "num_uniform": 15, "max_in_batch": 6},
    {"kind": "in_batch", "max_in_batch": 6},
    {"kind": "uniform", "num_uniform": 15},
])  # fmt: skip
def test_the_chance_is_how_often_an_item_is_there(settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    one, rounds = negatives(**settings), 4000
    there, told = np.zeros(ITEMS), np.zeros(ITEMS)
    for _ in range(rounds):
        drawn = one.sample(draws(rng))
        assert drawn.log_q_N is not None
        rows = drawn.row_V[drawn.candidate_N]
        there[rows] += 1 / rounds
        told[rows] = drawn.log_q_N.exp().numpy()
    # How many of a batch's items are kept depends on how many it has, so with max_in_batch it is a little off.
    slack = 0.08 if "max_in_batch" in settings else 0.03
    assert there[0] == 0
    assert np.abs(there - told)[1:].max() < slack


def test_places_lead_to_the_items() -> None:
    torch.manual_seed(0)
    item_E = np.array([7, 3, 7, 20])
    known_2X = np.array([[0, 0, 1, 2, 3, 3], [7, 9, 3, 7, 20, 3]])
    hard_EM = np.array([[11, 12], [0, 12], [7, 0], [3, 41]])
    drawn = negatives("mixed", num_uniform=4).sample(item_E, known_2X, hard_EM)
    rows = drawn.row_V[drawn.candidate_N]
    assert np.array_equal(drawn.row_V[drawn.positive_E], item_E)
    assert {7, 3, 20, 11, 12, 41} <= set(rows.tolist())
    assert drawn.hard_EM is not None
    assert np.array_equal(np.where(drawn.hard_EM >= 0, rows[drawn.hard_EM], 0), hard_EM)
    example, column = drawn.no_negative_2X
    found = set(zip(example.tolist(), rows[column].tolist(), strict=True))
    assert {(0, 7), (1, 3), (2, 7), (3, 20), (3, 3)} <= found <= set(map(tuple, known_2X.T.tolist()))
    assert drawn.log_q_N is not None
    shared = drawn.log_q_N.isfinite().numpy()
    assert {7, 3, 20} <= set(rows[shared].tolist())
    assert not np.isin([11, 12, 41], rows[shared]).all(), "the hard negatives of one are shared with all"


def test_the_whole_catalogue_needs_no_draw() -> None:
    drawn = negatives("full").sample(np.array([4, 9]))
    assert np.array_equal(drawn.row_V, np.arange(1, ITEMS))
    assert drawn.log_q_N is None
    assert drawn.no_negative_2X.tolist() == [[0, 1], [3, 8]]


@pytest.mark.parametrize("loss", ["gbce", "cosine_contrastive", "bce", "bpr"])
def test_even_draws_hold_the_positives_apart(loss: str) -> None:
    torch.manual_seed(1)
    drawn = negatives("uniform", loss=loss, num_uniform=10).sample(np.array([4, 9]))
    assert drawn.log_q_N is None, "only the softmax is corrected"
    assert len(drawn.candidate_N) <= 10
    assert np.array_equal(drawn.row_V[drawn.positive_E], [4, 9])


def test_what_was_there_while_examples_were_made_may_be_drawn(tmp_path: Path) -> None:
    """The examples are of the times 0 to 3."""
    available = Availability(np.array([0, -5, 0, 3, 4, -9]), np.array([9, 0, 1, 9, 9, FOREVER]))
    prepared = write_prepared(tmp_path, [[2, 3, 5, 2]], [[3]], 5, available=available)
    examples = prepared.samples.positives([1])
    assert drawable(prepared, examples).tolist() == [False, False, True, True, False, True]


@pytest.mark.parametrize("settings", [{"kind": "full"}, {"kind": "uniform", "num_uniform": 300}])
def test_only_what_is_drawable_is_drawn(settings: dict[str, Any]) -> None:
    rows = np.arange(ITEMS) % 3 == 1
    drawn = negatives(drawable=rows, **settings).sample(np.array([1, 4]))
    assert drawn.row_V[drawn.candidate_N].tolist() == np.flatnonzero(rows).tolist()


def test_the_chance_of_an_even_draw_is_that_among_the_drawable() -> None:
    torch.manual_seed(0)
    rows = np.arange(ITEMS) >= 40
    rng = np.random.default_rng(0)
    one, rounds = negatives("mixed", rows, num_uniform=5), 4000
    there, told = np.zeros(ITEMS), np.zeros(ITEMS)
    for _ in range(rounds):
        drawn = one.sample(draws(rng, 3))
        assert drawn.log_q_N is not None
        at = drawn.row_V[drawn.candidate_N]
        there[at] += 1 / rounds
        told[at] = drawn.log_q_N.exp().numpy()
    assert there[40:].min() > 0.35  # 5 of 10, and what the examples bring
    assert np.abs(there - told)[40:].max() < 0.03


def test_own_negatives_are_drawn_for_each_example_without_its_positives() -> None:
    torch.manual_seed(0)
    items = np.arange(1, 41)
    known = np.stack([np.repeat(np.arange(40), 2), np.stack([items, items % 40 + 1], axis=1).ravel()])
    seen = np.zeros(ITEMS)
    sampler = negatives("own", loss="bpr", num_own=6)
    for _ in range(50):
        found = sampler.sample(items, known)
        assert found.hard_EM is not None
        rows = np.where(found.hard_EM >= 0, found.row_V[found.hard_EM], 0)
        assert not (rows == items[:, None]).any()
        assert not (rows == (items % 40 + 1)[:, None]).any()
        assert (found.row_V[found.positive_E] == items).all()
        seen += np.bincount(rows[rows > 0], minlength=ITEMS)
    assert seen[1:].min() > 0.7 * seen[1:].mean(), "uniform, also among items of other examples"
