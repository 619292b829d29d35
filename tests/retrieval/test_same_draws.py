"""What a step draws for a seed: a recipe that does not change trains on the same negatives from version to version."""

import numpy as np
import pytest
import torch

from shortlist.recipe import Retrieval
from shortlist.retrieval.negatives import NegativeSampler

POPULARITY = np.append(0, 1000 // np.arange(1, 50))
ITEMS = np.array([9, 31, 18, 2, 2, 28, 1, 22, 20, 5, 2, 2])


@pytest.mark.parametrize(
    ("negatives", "rows", "log_q"),
    [
        (
            {"kind": "in_batch"},
            [1, 2, 5, 9, 18, 20, 22, 28, 31],
            [-0.0486, -0.2744, -0.8593, -1.3431, -1.9778, -2.067, -2.1663, -2.4054, -2.4913],
        ),
        ({"kind": "in_batch", "max_in_batch": 4}, [2, 18, 20, 22], [-1.0853, -2.7887, -2.8779, -2.9772]),
        (
            {"kind": "mixed", "num_uniform": 6, "max_in_batch": 4},
            [2, 15, 18, 20, 21, 22, 29, 49],
            [-0.8798, -1.7108, -1.7678, -1.7953, -1.8124, -1.824, -1.8916, -1.9878],
        ),
        ({"kind": "uniform", "num_uniform": 8}, [3, 4, 8, 12, 21, 26, 39, 41], None),
    ],
)
def test_a_seed_draws_what_it_drew(negatives: dict[str, object], rows: list[int], log_q: list[float] | None) -> None:
    loss = {"kind": "softmax", "log_q": log_q is not None}
    sampler = NegativeSampler(Retrieval.model_validate({"loss": loss, "negatives": negatives}), POPULARITY)
    sampled = sampler.sample(ITEMS, rng=torch.Generator().manual_seed(3))
    assert sampled.row_V[sampled.candidate_N].tolist() == rows
    if log_q is None:
        assert sampled.log_q_N is None
    else:
        assert sampled.log_q_N is not None
        assert sampled.log_q_N.tolist() == pytest.approx(log_q, abs=1e-4)
