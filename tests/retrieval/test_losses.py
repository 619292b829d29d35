import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from shortlist.retrieval.losses import Compared, chunked, log_q_of, softmax_loss

ITEMS, DIM, TEMPERATURE = 40, 6, 0.3


def catalogue(seed: int = 0, users: int = 30) -> tuple[Tensor, Tensor, Tensor]:
    """Query vectors, item vectors and a skewed popularity."""
    rng = torch.Generator().manual_seed(seed)
    query = torch.nn.functional.normalize(torch.randn(users, DIM, generator=rng), dim=1)
    items = torch.nn.functional.normalize(torch.randn(ITEMS, DIM, generator=rng), dim=1)
    share = 1 / torch.arange(1, ITEMS + 1).double() ** 1.2
    return query, items, share / share.sum()


def full_loss(query: Tensor, items: Tensor, target: Tensor) -> Tensor:
    return torch.nn.functional.cross_entropy(query @ items.T / TEMPERATURE, target)


def in_batch_loss(
    query: Tensor,
    items: Tensor,
    target: Tensor,
    draws: Tensor,
    log_q: Tensor | None,
    sign: float = 1.0,
    weight: Tensor | None = None,
    hard: Tensor | None = None,
) -> Tensor:
    """The loss against the distinct items of `draws`; `hard` are item rows [E, M]."""
    shared = draws.unique()
    found = shared if hard is None else torch.cat([shared, hard.flatten()]).unique()
    column = torch.full((ITEMS,), -1)
    column[found] = torch.arange(len(found))
    own = column[target]
    pairs = torch.stack([torch.arange(len(target)), own])[:, own >= 0]
    log_q_N = None
    if log_q is not None:
        log_q_N = torch.where(torch.isin(found, shared), sign * log_q[found], torch.inf)
    compared = Compared(
        query,
        items[target],
        items[found],
        torch.ones(len(target)) if weight is None else weight,
        pairs,
        log_q_N,
        None if hard is None else column[hard],
    )
    return softmax_loss(compared, temperature=TEMPERATURE)


def test_over_all_items_it_is_cross_entropy() -> None:
    query, items, share = catalogue()
    target = torch.multinomial(share, len(query), replacement=True)
    mine, theirs = [], []
    for loss, gradients in (
        (lambda q, v: in_batch_loss(q, v, target, torch.arange(ITEMS), None), mine),
        (lambda q, v: full_loss(q, v, target), theirs),
    ):
        q, v = query.clone().requires_grad_(), items.clone().requires_grad_()
        value = loss(q, v)
        (3 * value).backward()
        gradients += [value.detach(), q.grad, v.grad]
    for one, other in zip(mine, theirs, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize(("correction", "agrees"), [("right", True), ("none", False), ("wrong sign", False)])
def test_only_the_right_correction_estimates_the_full_softmax(correction: str, agrees: bool) -> None:
    """Mean over many batches of the loss and of its gradient, against the softmax over the whole catalogue."""
    query, items, share = catalogue()
    target = torch.multinomial(share, len(query), replacement=True, generator=torch.Generator().manual_seed(1))
    q, v = query.clone().requires_grad_(), items.clone().requires_grad_()
    full = full_loss(q, v, target)
    full.backward()
    assert v.grad is not None
    wanted = v.grad.clone()
    v.grad = None
    num_draws, batches = 60, 3000
    log_q = log_q_of(share, num_draws)
    sign = {"right": 1.0, "none": 0.0, "wrong sign": -1.0}[correction]
    draws = torch.multinomial(share, num_draws * batches, replacement=True, generator=torch.Generator().manual_seed(2))
    total = 0.0
    for batch in draws.view(batches, num_draws):
        loss = in_batch_loss(q, v, target, batch, log_q, sign)
        loss.backward()
        total += loss.item()
    error = abs(total / batches - full.item())
    turn = torch.nn.functional.cosine_similarity(v.grad.flatten() / batches, wanted.flatten(), dim=0).item()
    distance = ((v.grad / batches - wanted).norm() / wanted.norm()).item()
    # A logarithm of an unbiased estimate is a little low, hence 2 % and not less.
    assert (error < 0.02 * full.item()) == agrees, error
    assert (distance < 0.1) == agrees, (distance, turn)


@pytest.mark.parametrize("hard", [0, 2])
def test_the_sum_over_all_items_is_estimated_without_bias(hard: int) -> None:
    """exp(loss) is Z / exp(s_p): unbiased, while the loss itself is a logarithm of it. With the two worst wrong answers
    always seen it is still unbiased, and of even draws it varies less."""
    query, items, _ = catalogue(users=1)
    share = torch.full((ITEMS,), 1 / ITEMS).double()
    target = torch.tensor([5])
    scores = (query @ items.T).scatter(1, target[:, None], -torch.inf)
    num_draws, batches = 12, 4000
    log_q = log_q_of(share, num_draws)
    draws = torch.multinomial(share, num_draws * batches, replacement=True, generator=torch.Generator().manual_seed(2))

    def ratios(wrong: Tensor | None) -> Tensor:
        losses = [in_batch_loss(query, items, target, one, log_q, hard=wrong) for one in draws.view(batches, -1)]
        return torch.stack(losses).exp()

    wanted = full_loss(query, items, target).exp().item()
    got = ratios(scores.topk(hard).indices if hard else None)
    assert abs(got.mean().item() - wanted) < 4 * got.std().item() / batches**0.5
    if hard:
        assert got.std() < 0.8 * ratios(None).std()


def test_a_hard_negative_is_seen_by_its_own_example_alone() -> None:
    query, items, share = catalogue(users=2)
    target, draws = torch.tensor([0, 1]), torch.tensor([2, 3])
    log_q = log_q_of(share, 5)
    without = [in_batch_loss(query[e : e + 1], items, target[e : e + 1], draws, log_q).item() for e in (0, 1)]
    hard = torch.tensor([[9], [3]])
    both = in_batch_loss(query, items, target, draws, log_q, hard=hard, weight=torch.tensor([0.0, 1.0]))
    logits = query[1] @ items.T / TEMPERATURE
    wanted = torch.logsumexp(torch.stack([logits[1], logits[2] - log_q[2], logits[3]]), 0) - logits[1]
    assert both.item() == pytest.approx(wanted.item(), rel=1e-5)
    assert both.item() != pytest.approx(without[1], rel=1e-3)


def test_more_draws_come_closer_to_the_full_softmax() -> None:
    query, items, share = catalogue(3)
    target = torch.multinomial(share, len(query), replacement=True)
    full = full_loss(query, items, target).item()
    errors = []
    for num_draws in (10, 100, 1000):
        log_q = log_q_of(share, num_draws)
        values = [
            in_batch_loss(query, items, target, torch.multinomial(share, num_draws, replacement=True), log_q).item()
            for _ in range(200)
        ]
        errors.append(abs(sum(values) / len(values) - full))
    assert errors[0] > errors[1] > errors[2]


def test_an_item_is_no_negative_of_itself() -> None:
    query, items, _ = catalogue()
    target = torch.zeros(len(query), dtype=torch.long)
    loss = in_batch_loss(query, items, target, torch.tensor([0, 0, 0]), None)
    assert loss.item() == pytest.approx(0.0, abs=1e-6)


def test_a_positive_outside_the_candidates_still_counts() -> None:
    query, items, _ = catalogue()
    target = torch.full((len(query),), 7)
    logits = query @ items.T / TEMPERATURE
    wanted = torch.nn.functional.cross_entropy(logits[:, [7, 1, 2]], torch.zeros(len(query), dtype=torch.long))
    got = in_batch_loss(query, items, target, torch.tensor([1, 2]), None)
    assert got.item() == pytest.approx(wanted.item(), rel=1e-5)


def test_weights_are_shares_of_the_mean() -> None:
    query, items, share = catalogue()
    target = torch.multinomial(share, len(query), replacement=True)

    def loss(weight: Tensor, rows: Tensor) -> float:
        return in_batch_loss(query[rows], items, target[rows], torch.arange(ITEMS), None, weight=weight).item()

    every, doubled = torch.arange(len(query)), torch.cat([torch.arange(len(query)), torch.tensor([0])])
    weight = torch.ones(len(query))
    weight[0] = 2
    assert loss(weight, every) == pytest.approx(loss(torch.ones(len(doubled)), doubled), rel=1e-5)
    assert loss(weight * 17, every) == pytest.approx(loss(weight, every), rel=1e-5)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    query, items, share = catalogue(users=33)
    target = torch.multinomial(share, len(query), replacement=True)
    results = []
    for chunk in (10**9, ITEMS * 7):
        monkeypatch.setitem(chunked._CHUNK, "cpu", chunk)
        q, v = query.clone().requires_grad_(), items.clone().requires_grad_()
        loss = in_batch_loss(q, v, target, torch.arange(ITEMS), log_q_of(share, 5))
        loss.backward()
        results.append((loss.detach(), q.grad, v.grad))
    for one, other in zip(*results, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_no_examples_cost_nothing() -> None:
    items = torch.randn(5, DIM, requires_grad=True)
    nothing = torch.zeros(0, DIM, requires_grad=True)
    compared = Compared(nothing, nothing, items, torch.zeros(0), torch.zeros(2, 0).long())
    loss = softmax_loss(compared, temperature=1.0)
    loss.backward()
    assert loss.item() == 0.0


def test_it_is_finite_for_far_logits() -> None:
    query = torch.tensor([[1e3], [-1e3]], requires_grad=True)
    items = torch.tensor([[1.0], [-1.0]])
    target = torch.tensor([0, 0])
    compared = Compared(query, items[target], items, torch.ones(2), torch.stack([torch.arange(2), target]))
    loss = softmax_loss(compared, temperature=0.05)
    loss.backward()
    assert math.isfinite(loss.item())
    assert query.grad is not None
    assert query.grad.isfinite().all()


@settings(max_examples=50, deadline=None)
@given(share=st.floats(1e-9, 1.0), num_draws=st.integers(1, 100_000))
def test_q_is_one_less_all_misses(share: float, num_draws: int) -> None:
    q = log_q_of(torch.tensor([share], dtype=torch.float64), num_draws).exp().item()
    assert 0 < q <= 1
    assert q <= min(1.0, share * num_draws) * 1.0001
    assert q == pytest.approx(-math.expm1(num_draws * math.log1p(-min(share, 1 - 1e-12))), rel=1e-4)
