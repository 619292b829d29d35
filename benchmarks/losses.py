"""How far each loss of retrieval is from the softmax over all items, on a small catalogue.

    python -m benchmarks.losses [--items 500] [--draws 100] [--rounds 400]

A fixed model, 64 examples and an item popularity as uneven as a real one. Each loss draws its candidates anew many
times; its mean over the rounds, and that of its gradient by the item vectors, is compared with the full softmax:

    bias        (mean loss - full loss) / full loss
    gradient    length of (mean gradient - full gradient) / length of the full gradient: 0 learns the same
    direction   cosine of the two: 1 learns the same but for the speed
    spread      standard deviation of one step's gradient / length of the full gradient

Those that are no softmax are other losses: of them only the direction can agree, and their bias is against their own
value when every item is a negative.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from shortlist.recipe import Retrieval
from shortlist.retrieval.losses import Compared, loss_of
from shortlist.retrieval.negatives import NegativeSampler

_EXAMPLES, _DIM, _TEMPERATURE, _SKEW = 64, 16, 0.2, 1.1


@dataclass(frozen=True)
class World:
    """Unit vectors and what is popular; row 0 is no item."""

    query_ED: Tensor
    item_ND: Tensor
    popularity_N: NDArray[np.int64]
    item_E: NDArray[np.int64]

    @classmethod
    def make(cls, num_items: int, seed: int) -> "World":
        rng = torch.Generator().manual_seed(seed)
        item_ND = functional.normalize(torch.randn(num_items + 1, _DIM, generator=rng), dim=1)
        popularity = np.append(0, np.ceil(10_000 / np.arange(1, num_items + 1) ** _SKEW).astype(np.int64))
        item_E = np.random.default_rng(seed).choice(num_items + 1, _EXAMPLES, p=popularity / popularity.sum())
        # A query lies near its item, as after some training.
        noise = torch.randn(_EXAMPLES, _DIM, generator=rng) * _DIM**-0.5
        return cls(functional.normalize(item_ND[item_E] + noise, dim=1), item_ND, popularity, item_E)


Loss = Callable[[Compared], Tensor]
_SOFTMAX = Retrieval.model_validate(
    {"loss": {"kind": "softmax", "temperature": _TEMPERATURE}, "negatives": {"kind": "full"}}
)


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    candidates: float
    bias: float
    gradient: float
    direction: float
    spread: float


def step(
    world: World, negatives: NegativeSampler, loss: Loss, batch: NDArray[np.int64], hard: int
) -> tuple[float, int, Tensor]:
    """The fixed examples against what a batch with the items `batch` draws: loss, candidates and gradient."""
    item_ND = world.item_ND.clone().requires_grad_()
    hard_EM = None
    if hard:
        scores_EN = world.query_ED @ world.item_ND.T
        scores_EN[:, 0] = -torch.inf
        scores_EN[torch.arange(_EXAMPLES), torch.from_numpy(world.item_E)] = -torch.inf
        hard_EM = scores_EN.topk(hard).indices.numpy()
    # The examples' own items are given; what else the batch holds is drawn by popularity.
    drawn = negatives.sample(batch, np.stack([np.arange(_EXAMPLES), world.item_E]), hard_EM)
    compared = Compared(
        world.query_ED,
        item_ND[torch.from_numpy(world.item_E)],
        item_ND[torch.from_numpy(drawn.row_V[drawn.candidate_N])],
        torch.ones(_EXAMPLES),
        torch.from_numpy(drawn.no_negative_2X),
        drawn.log_q_N,
        None if drawn.hard_EM is None else torch.from_numpy(drawn.hard_EM),
    )
    value = loss(compared)
    (gradient,) = torch.autograd.grad(value, item_ND)
    return float(value.detach()), len(drawn.candidate_N), gradient


def measured(name: str, world: World, settings: dict[str, object], *, draws: int, rounds: int) -> Row:
    """Of `retrieval` settings: the mean over the rounds beside the softmax over all items."""
    retrieval, num_items = Retrieval.model_validate(settings), len(world.item_ND) - 1
    negatives = NegativeSampler(retrieval, world.popularity_N)
    loss, softmax = (loss_of(one.loss, num_items) for one in (retrieval, _SOFTMAX))
    everything = NegativeSampler(_SOFTMAX, world.popularity_N)
    full, _, wanted = step(world, everything, softmax, world.item_E, 0)
    # Another loss has another value when every item is a negative.
    own = full if retrieval.loss.kind == "softmax" else step(world, everything, loss, world.item_E, 0)[0]
    rng, share = np.random.default_rng(1), world.popularity_N / world.popularity_N.sum()
    total, candidates, mean, square = 0.0, 0, torch.zeros_like(wanted), 0.0
    for _ in range(rounds):
        batch = rng.choice(len(share), draws, p=share)
        value, count, gradient = step(world, negatives, loss, batch, retrieval.num_hard)
        total, candidates = total + value / rounds, candidates + count
        mean += gradient / rounds
        square += float((gradient**2).sum()) / rounds
    length = float(wanted.norm())
    return Row(
        name,
        candidates / rounds,
        (total - own) / own,
        float((mean - wanted).norm()) / length,
        float(functional.cosine_similarity(mean.flatten(), wanted.flatten(), dim=0)),
        max(square - float((mean**2).sum()), 0.0) ** 0.5 / length,
    )


def rows(num_items: int, draws: int, rounds: int) -> list[Row]:
    world, half = World.make(num_items, 0), draws // 2
    softmax = {"kind": "softmax", "temperature": _TEMPERATURE}
    gbce, contrastive = {"kind": "gbce", "temperature": _TEMPERATURE}, {"kind": "cosine_contrastive"}
    bce, bpr = ({"kind": kind, "temperature": _TEMPERATURE} for kind in ("bce", "bpr"))
    in_batch, uniform = {"kind": "in_batch"}, {"kind": "uniform", "num_uniform": draws}
    mixed = {"kind": "mixed", "num_uniform": half}
    cases: list[tuple[str, dict[str, object], dict[str, object], int]] = [
        ("full softmax", softmax, {"kind": "full"}, draws),
        ("in-batch, logQ", softmax, in_batch, draws),
        ("in-batch, uncorrected", softmax | {"log_q": False}, in_batch, draws),
        ("mixed", softmax, mixed, half),
        ("mixed + 8 hard", softmax, mixed | {"num_hard": 8}, half),
        ("gBCE, t = 0.75", gbce | {"calibration": 0.75}, uniform, draws),
        ("gBCE, t = 0", gbce | {"calibration": 0.0}, uniform, draws),
        ("cosine contrastive", contrastive, uniform, draws),
        ("uniform, logQ", softmax, uniform, draws),
        ("BCE", bce, uniform, draws),
        ("BPR", bpr, uniform, draws),
    ]
    return [
        measured(name, world, {"loss": loss, "negatives": negatives}, draws=drawn, rounds=rounds)
        for name, loss, negatives, drawn in cases
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=500)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=400)
    asked = parser.parse_args()
    torch.manual_seed(0)
    found = rows(asked.items, asked.draws, asked.rounds)
    print("| loss | candidates | bias | gradient | direction | spread |\n|---|---|---|---|---|---|")
    for row in found:
        print(
            f"| {row.name} | {row.candidates:.0f} | {row.bias:+.1%} | {row.gradient:.2f} | {row.direction:.3f} "
            f"| {row.spread:.2f} |"
        )


if __name__ == "__main__":
    main()
