"""gBCE and the cosine contrastive loss, against their formulas, their derivatives and what gBCE promises."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from shortlist.retrieval.losses import Compared, cosine_contrastive_loss, gbce_loss
from shortlist.retrieval.losses.gbce import tempered

ITEMS, DIM, E = 30, 5, 12


def compared(query: Tensor, items: Tensor, target: Tensor, rows: Tensor) -> Compared:
    column = torch.full((len(items),), -1)
    column[rows] = torch.arange(len(rows))
    own = column[target]
    pairs = torch.stack([torch.arange(len(target)), own])[:, own >= 0]
    return Compared(query, items[target], items[rows], torch.ones(len(target)), pairs)


def some(seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    query, items = (functional.normalize(torch.randn(n, DIM, generator=rng), dim=1) for n in (E, ITEMS))
    target = torch.randint(ITEMS, (E,), generator=rng)
    return (
        query.requires_grad_(),
        items.requires_grad_(),
        target,
        torch.randperm(ITEMS, generator=rng)[:11].sort().values,
    )


def formula_gbce(query: Tensor, items: Tensor, target: Tensor, rows: Tensor, t: float) -> Tensor:
    total = []
    for e in range(E):
        negatives = [int(r) for r in rows if r != target[e]]
        alpha = len(negatives) / (ITEMS - 1)
        beta = alpha * (t * (1 - 1 / alpha) + 1 / alpha)
        s = query[e] @ items.T / 0.5
        positive = torch.sigmoid(s[target[e]]) ** beta
        total.append(-torch.log(positive) - torch.log(1 - torch.sigmoid(s[negatives])).sum())
    return torch.stack(total).mean()


def formula_ccl(query: Tensor, items: Tensor, target: Tensor, rows: Tensor) -> Tensor:
    total = []
    for e in range(E):
        negatives = [int(r) for r in rows if r != target[e]]
        s = query[e] @ items.T
        total.append(1 - s[target[e]] + 7.0 * (s[negatives] - 0.1).clamp_min(0).mean())
    return torch.stack(total).mean()


@pytest.mark.parametrize("name", ["gbce", "cosine_contrastive"])
def test_value_and_gradients_are_those_of_the_formula(name: str) -> None:
    query, items, target, rows = some()
    one = compared(query, items, target, rows)
    if name == "gbce":
        mine = gbce_loss(one, temperature=0.5, num_items=ITEMS, calibration=0.75)
        wanted = formula_gbce(query, items, target, rows, 0.75)
    else:
        mine = cosine_contrastive_loss(one, margin=0.1, negative_weight=7.0)
        wanted = formula_ccl(query, items, target, rows)
    assert mine.item() == pytest.approx(wanted.item(), rel=1e-5)
    got = torch.autograd.grad(mine, [query, items])
    for a, b in zip(got, torch.autograd.grad(wanted, [query, items]), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_beta_goes_from_plain_cross_entropy_to_the_share_of_the_negatives() -> None:
    alpha = torch.tensor([0.01, 0.5, 1.0])
    assert torch.equal(tempered(alpha, 0.0), torch.ones(3))
    assert torch.allclose(tempered(alpha, 1.0), alpha)
    assert torch.equal(tempered(torch.tensor(1.0), 0.3), torch.tensor(1.0))


@pytest.mark.parametrize(("calibration", "agrees"), [(1.0, True), (0.0, False)])
def test_with_full_calibration_sampled_probabilities_are_those_of_all_items(calibration: float, agrees: bool) -> None:
    """One query that takes item j with chance p_j: the best score of cross-entropy over all items is logit p_j."""
    torch.manual_seed(0)
    share = torch.tensor([0.5, 0.3, 0.1, 0.06, 0.04])
    share = torch.cat([share * 0.9, torch.full((15,), 0.1 / 15)])
    items = torch.eye(20)
    score = torch.full((1, 20), -2.0, requires_grad=True)
    optimiser = torch.optim.Adam([score], lr=0.05)
    late = torch.zeros(20)
    for step in range(3000):
        target = torch.multinomial(share, 64, replacement=True)
        # Each example has its own two negatives, drawn evenly from the other items.
        loss = torch.zeros(())
        rows = torch.randperm(20)[:3]
        one = compared(score.expand(64, 20), items, target, rows)
        loss = gbce_loss(one, temperature=1.0, num_items=20, calibration=calibration)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step >= 2000:
            late += torch.sigmoid(score.detach()[0]) / 1000
    error = (late[:5] / share[:5] - 1).abs().max().item()
    assert (error < 0.35) == agrees, late[:5]
