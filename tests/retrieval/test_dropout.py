"""Dropout drops as often as it says, each element by itself, and is nothing but scaling for the rest."""

import pytest
import torch

from shortlist.retrieval.dropout import Dropout


def dropped_from_ones(share: float, size: int = 200_001) -> torch.Tensor:
    torch.manual_seed(0)
    layer = Dropout(share)
    return torch.as_tensor(layer(torch.ones(size)))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.2, 0.5, 0.9, 1.0])
def test_drops_the_share_and_keeps_the_mean(share: float) -> None:
    out = dropped_from_ones(share)
    deviation = (share * (1 - share) / len(out)) ** 0.5
    assert float((out == 0).double().mean()) == pytest.approx(share, abs=5 * deviation + 1e-5)
    kept = out[out != 0]
    assert torch.allclose(kept, torch.full_like(kept, 1 / max(1 - share, 1e-9)), rtol=1e-4)


@pytest.mark.parametrize("apart", [1, 2, 3, 4, 256])
def test_an_element_says_nothing_of_another(apart: int) -> None:
    kept = (dropped_from_ones(0.5) != 0).double()
    assert float((kept[apart:] * kept[:-apart]).mean()) == pytest.approx(0.25, abs=5 * (3 / 16 / len(kept)) ** 0.5)


def test_the_gradient_goes_where_the_value_went() -> None:
    x = torch.full((7, 3, 5), 2.0, requires_grad=True)
    out = Dropout(0.3)(x)
    out.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad * 2, out.detach())


def test_draws_by_the_seed_of_torch() -> None:
    first, again = dropped_from_ones(0.2), dropped_from_ones(0.2)
    assert torch.equal(first, again)


def test_half_precision_stays_so() -> None:
    assert Dropout(0.2)(torch.ones(9, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_is_nothing_when_not_in_training() -> None:
    x = torch.randn(9)
    assert torch.equal(Dropout(0.5).eval()(x), x)
