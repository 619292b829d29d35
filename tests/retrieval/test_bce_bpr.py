"""BCE and BPR against their papers' formulas, written out negative by negative, and their derivatives."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from shortlist.retrieval.losses import Compared, bce_loss, bpr_loss, chunked
from shortlist.retrieval.losses.chunked import ChunkLoss

ITEMS, DIM, E, TEMPERATURE = 30, 5, 12, 0.4
ROWS = torch.arange(3, 20, 2)
"""The candidates: some examples' own items are among them, some are not."""
KNOWN = {0: [3, 5], 4: [19]}
"""Further items that are right for an example."""

Loss = Callable[..., Tensor]


def some(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Query vectors, item vectors, own items, weights."""
    rng = torch.Generator().manual_seed(0)
    query, items = (functional.normalize(torch.randn(n, DIM, generator=rng), dim=1).to(dtype) for n in (E, ITEMS))
    target = torch.randint(ITEMS, (E,), generator=rng)
    return query.requires_grad_(), items.requires_grad_(), target, torch.rand(E, generator=rng).to(dtype)


def right(target: Tensor, e: int) -> set[int]:
    return {int(target[e]), *KNOWN.get(e, [])}


def compared(query: Tensor, items: Tensor, target: Tensor, weight: Tensor) -> Compared:
    rows = ROWS.tolist()
    pairs = [(e, rows.index(row)) for e in range(E) for row in sorted(right(target, e)) if row in rows]
    return Compared(query, items[target], items[ROWS], weight, torch.tensor(pairs).T.contiguous())


def bce_formula(positive: Tensor, negatives: Tensor) -> Tensor:
    """Kang & McAuley 2018, eq. 7, with the mean over the negatives for their one."""
    return -torch.log(torch.sigmoid(positive)) - torch.log(1 - torch.sigmoid(negatives)).mean()


def bpr_formula(positive: Tensor, negatives: Tensor) -> Tensor:
    """Rendle et al. 2009, section 4.1, the mean over the triples of one positive."""
    return -torch.stack([torch.log(torch.sigmoid(positive - negative)) for negative in negatives]).mean()


def formula(
    of_one: Callable[[Tensor, Tensor], Tensor], query: Tensor, items: Tensor, target: Tensor, weight: Tensor
) -> Tensor:
    total = []
    for e in range(E):
        negatives = [row for row in ROWS.tolist() if row not in right(target, e)]
        score = query[e] @ items.T / TEMPERATURE
        total.append(weight[e] * of_one(score[target[e]], score[negatives]))
    return torch.stack(total).sum() / weight.sum()


@pytest.mark.parametrize("per_chunk", [1, 5, E], ids=lambda n: f"{n} examples a chunk")
@pytest.mark.parametrize(("loss", "of_one"), [(bce_loss, bce_formula), (bpr_loss, bpr_formula)])
def test_value_and_gradients_are_those_of_the_formula(
    loss: Loss, of_one: Callable[[Tensor, Tensor], Tensor], per_chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(chunked._CHUNK, "cpu", per_chunk * len(ROWS))
    query, items, target, weight = some()
    mine = loss(compared(query, items, target, weight), temperature=TEMPERATURE)
    wanted = formula(of_one, query, items, target, weight)
    assert mine.item() == pytest.approx(wanted.item(), rel=1e-5)
    got = torch.autograd.grad(mine, [query, items])
    for a, b in zip(got, torch.autograd.grad(wanted, [query, items]), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("loss", [bce_loss, bpr_loss])
def test_derivatives_by_the_scores_are_those_by_differences(loss: Loss, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chunk's own function, in double precision, against central differences of each score."""
    taken: list[ChunkLoss] = []
    module = f"shortlist.retrieval.losses.{loss.__name__.removesuffix('_loss')}"

    def mean_loss(_: Compared, chunk_loss: ChunkLoss) -> Tensor:
        taken.append(chunk_loss)
        return torch.zeros(())

    monkeypatch.setattr(f"{module}.mean_loss", mean_loss)
    loss(compared(*some()), temperature=TEMPERATURE)
    rng, step = np.random.default_rng(0), 1e-6
    p_C, s_CN = torch.from_numpy(rng.normal(size=3)), torch.from_numpy(rng.normal(size=(3, 4)))
    pairs_2X = torch.tensor([[0, 2, 2], [1, 0, 3]])

    def value(p_C: Tensor, s_CN: Tensor) -> Tensor:
        return taken[0](p_C.clone(), s_CN.clone(), pairs_2X, slice(0, 3))[0]

    _, d_p_C, d_CN = taken[0](p_C.clone(), s_CN.clone(), pairs_2X, slice(0, 3))
    by_p = (value(p_C + step, s_CN) - value(p_C - step, s_CN)) / (2 * step)
    assert torch.allclose(d_p_C, by_p, atol=1e-8)
    for n in range(4):
        bump = torch.zeros(3, 4, dtype=torch.float64)
        bump[:, n] = step
        by_s = (value(p_C, s_CN + bump) - value(p_C, s_CN - bump)) / (2 * step)
        assert torch.allclose(d_CN[:, n], by_s, atol=1e-8)


@pytest.mark.parametrize("loss", [bce_loss, bpr_loss])
def test_an_example_without_a_negative_is_finite(loss: Loss) -> None:
    query, items, _, _ = some()
    alone = Compared(query[:1], items[:1], items[:1], torch.ones(1), torch.tensor([[0], [0]]))
    value = loss(alone, temperature=TEMPERATURE)
    gradient = torch.autograd.grad(value, [query, items])
    assert torch.isfinite(value)
    assert all(torch.isfinite(one).all() for one in gradient)


@pytest.mark.parametrize("loss", [bce_loss, bpr_loss])
def test_large_scores_do_not_overflow(loss: Loss) -> None:
    query, items, target, weight = some()
    value = loss(compared(query, items, target, weight), temperature=1e-4)
    gradient = torch.autograd.grad(value, [query, items])
    assert torch.isfinite(value)
    assert all(torch.isfinite(one).all() for one in gradient)


def test_bpr_with_own_negatives_is_the_formula() -> None:
    query, items, target, weight = some(torch.float64)
    own = torch.tensor([[e % ITEMS, (7 * e + 3) % ITEMS, -1] for e in range(E)])
    none = torch.zeros(2, 0, dtype=torch.int64)
    found = bpr_loss(Compared(query, items[target], items, weight, none, hard_EM=own), temperature=TEMPERATURE)
    of_each = [
        bpr_formula(query[e] @ items[target[e]] / TEMPERATURE, items[own[e, :2]] @ query[e] / TEMPERATURE)
        for e in range(E)
    ]
    torch.testing.assert_close(
        found.double(), (torch.stack(of_each) * weight).sum() / weight.sum(), rtol=1e-5, atol=1e-6
    )
