"""How far each loss of retrieval is from the softmax over all items, on a small catalogue.

    python -m benchmarks.losses [--items 500] [--draws 100] [--rounds 400]

A fixed model, 64 examples and an item popularity as uneven as a real one. Each loss draws its candidates anew many
times; its mean over the rounds, and that of its gradient by the item vectors, is compared with the full softmax:

    bias        (mean loss - full loss) / full loss
    gradient    length of (mean gradient - full gradient) / length of the full gradient: 0 learns the same
    direction   cosine of the two: 1 learns the same but for the speed
    spread      standard deviation of one step's gradient / length of the full gradient

gBCE and the cosine contrastive loss are other losses: of them only the direction can agree, and their bias is against
their own value when every item is a negative.
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
from shortlist.retrieval.losses import Compared, cosine_contrastive_loss, gbce_loss, softmax_loss
from shortlist.retrieval.negatives import Negatives

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
        chance = torch.Generator().manual_seed(seed)
        item_ND = functional.normalize(torch.randn(num_items + 1, _DIM, generator=chance), dim=1)
        popularity = np.append(0, np.ceil(10_000 / np.arange(1, num_items + 1) ** _SKEW).astype(np.int64))
        item_E = np.random.default_rng(seed).choice(num_items + 1, _EXAMPLES, p=popularity / popularity.sum())
        # A query lies near its item, as after some training.
        noise = torch.randn(_EXAMPLES, _DIM, generator=chance) * _DIM**-0.5
        return cls(functional.normalize(item_ND[item_E] + noise, dim=1), item_ND, popularity, item_E)


Loss = Callable[[Compared], Tensor]


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
    world: World, negatives: Negatives, loss: Loss, batch: NDArray[np.int64], hard: int
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
    drawn = negatives.draw(batch, np.stack([np.arange(_EXAMPLES), world.item_E]), hard_EM)
    compared = Compared(
        world.query_ED,
        item_ND[torch.from_numpy(world.item_E)],
        item_ND[torch.from_numpy(drawn.row_V[drawn.candidate_N])],
        torch.ones(_EXAMPLES),
        torch.from_numpy(drawn.no_negative_2X),
        drawn.log_chance_N,
        None if drawn.hard_EM is None else torch.from_numpy(drawn.hard_EM),
    )
    value = loss(compared)
    (gradient,) = torch.autograd.grad(value, item_ND)
    return float(value.detach()), len(drawn.candidate_N), gradient


def softmax(compared: Compared) -> Tensor:
    return softmax_loss(compared, temperature=_TEMPERATURE)


def measured(
    name: str, world: World, settings: dict[str, object], loss: Loss, whole: Loss, *, draws: int, rounds: int
) -> Row:
    """`whole` is what the loss would be with every item for a negative; its gradient is not looked at."""
    retrieval = Retrieval.model_validate(settings)
    negatives = Negatives(retrieval, world.popularity_N)
    everything = Negatives(Retrieval(loss="full"), world.popularity_N)
    full, _, wanted = step(world, everything, softmax, world.item_E, 0)
    own = full if whole is softmax else step(world, everything, whole, world.item_E, 0)[0]
    rng, share = np.random.default_rng(1), world.popularity_N / world.popularity_N.sum()
    total, candidates, mean, square = 0.0, 0, torch.zeros_like(wanted), 0.0
    for _ in range(rounds):
        batch = rng.choice(len(share), draws, p=share)
        value, count, gradient = step(world, negatives, loss, batch, retrieval.hard_negatives)
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
    world = World.make(num_items, 0)

    def gbce(calibration: float) -> Loss:
        return lambda compared: gbce_loss(
            compared, temperature=_TEMPERATURE, num_items=num_items, calibration=calibration
        )

    def contrastive(compared: Compared) -> Tensor:
        return cosine_contrastive_loss(compared, margin=0.4, negative_weight=300.0)

    half = draws // 2
    cases: list[tuple[str, dict[str, object], Loss, Loss, int]] = [
        ("full softmax", {"loss": "full"}, softmax, softmax, draws),
        ("in-batch, logQ", {"loss": "in_batch"}, softmax, softmax, draws),
        ("in-batch, uncorrected", {"loss": "in_batch", "logq": False}, softmax, softmax, draws),
        ("mixed", {"loss": "mixed", "uniform_negatives": half}, softmax, softmax, half),
        ("mixed + 8 hard", {"loss": "mixed", "uniform_negatives": half, "hard_negatives": 8}, softmax, softmax, half),
        ("gBCE, t = 0.75", {"loss": "gbce", "uniform_negatives": draws}, gbce(0.75), gbce(0.75), draws),
        ("gBCE, t = 0", {"loss": "gbce", "uniform_negatives": draws}, gbce(0.0), gbce(0.0), draws),
        (
            "cosine contrastive",
            {"loss": "cosine_contrastive", "uniform_negatives": draws},
            contrastive,
            contrastive,
            draws,
        ),
    ]
    return [
        measured(name, world, settings, loss, whole, draws=drawn, rounds=rounds)
        for name, settings, loss, whole, drawn in cases
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
