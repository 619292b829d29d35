"""Equal vectors are found, whatever their scale."""

import numpy as np
import pytest
from hand_made import item_vectors

from shortlist.retrieval.shared_vectors import shared

NUM_ITEMS = 30


def test_equal_vectors_and_those_that_differ_in_the_last_bits() -> None:
    vectors = item_vectors(NUM_ITEMS)
    vectors[[3, 7, 20]] = vectors[3]
    vectors[7] *= 1 + 1e-7
    assert np.flatnonzero(shared(vectors)).tolist() == [3, 7, 20]


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_scale_of_dot_products_does_not_matter(scale: float) -> None:
    vectors = item_vectors(NUM_ITEMS) * np.float32(scale)
    assert not shared(vectors).any()
    vectors[1] = vectors[0]
    assert shared(vectors).sum() == 2


def test_no_vectors_and_zeros() -> None:
    assert shared(np.zeros((0, 4), np.float32)).tolist() == []
    assert shared(np.zeros((3, 4), np.float32)).all()
