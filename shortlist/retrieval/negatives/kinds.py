"""The candidates that all examples of a step share, one class per kind.

Each class returns the sorted rows of its candidates and the logarithm of the probability Q that a step contains them.
The softmax divides by Q (`losses/softmax.py`); None means that all are certain.

Shapes: E examples of the step (of all processes), N candidates.
"""

from typing import Protocol, assert_never

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shortlist.recipe import FullNegatives, InBatchNegatives, MixedNegatives, Negatives, OwnNegatives, UniformNegatives
from shortlist.retrieval.losses import log_q_of
from shortlist.retrieval.unique import Unique

Rows = NDArray[np.int64]


class SharedCandidates(Protocol):
    """Draws the shared candidates."""

    def sample(self, item_E: Rows, rng: torch.Generator | None) -> tuple[Rows, Tensor | None]:
        """Rows [N] and log Q [N] for a step whose examples' own items are `item_E`."""
        ...


class Full:
    """All drawable items."""

    def __init__(self, drawable: Rows) -> None:
        self._drawable = drawable

    def sample(self, item_E: Rows, rng: torch.Generator | None) -> tuple[Rows, Tensor | None]:  # noqa: ARG002
        return self._drawable, None


class Uniform:
    """Uniform draws with replacement: Q = 1 - (1 - 1/V)^draws for V items."""

    def __init__(self, num_uniform: int, drawable: Rows, unique: Unique) -> None:
        self._num_uniform, self._drawable, self._unique = num_uniform, drawable, unique

    @property
    def log_q_1(self) -> Tensor:
        return log_q_of(torch.full((1,), 1 / len(self._drawable)), self._num_uniform)

    def rows(self, rng: torch.Generator | None) -> Rows:
        draws = torch.randint(len(self._drawable), (self._num_uniform,), generator=rng)
        return self._unique.of(self._drawable[draws.numpy()])

    def sample(self, item_E: Rows, rng: torch.Generator | None) -> tuple[Rows, Tensor | None]:  # noqa: ARG002
        rows = self.rows(rng)
        return rows, self.log_q_1.expand(len(rows))


class InBatch:
    """The step's own items, drawn by popularity: Q = 1 - (1 - share)^E, times the share that is kept."""

    def __init__(self, max_in_batch: int, popularity: NDArray[np.int64], unique: Unique) -> None:
        self._max, self._unique = max_in_batch, unique
        counts = np.asarray(popularity, np.float64)
        self._share = torch.from_numpy(counts / max(counts.sum(), 1.0))

    def kept(self, item_E: Rows, rng: torch.Generator | None) -> tuple[Rows, float]:
        """The step's items, and the share of them that was kept."""
        batch = self._unique.of(item_E)
        if len(batch) <= self._max:
            return batch, 1.0
        kept = torch.randperm(len(batch), generator=rng)[: self._max]
        return batch[kept.sort().values.numpy()], self._max / len(batch)

    def log_q(self, rows: Rows, num_examples: int, kept: float) -> Tensor:
        """Log Q in double precision, also for rows that are not in this step."""
        return log_q_of(self._share[torch.from_numpy(rows)], num_examples).double() + float(np.log(kept))

    def sample(self, item_E: Rows, rng: torch.Generator | None) -> tuple[Rows, Tensor | None]:
        rows, kept = self.kept(item_E, rng)
        return rows, self.log_q(rows, len(item_E), kept).float()


class Mixed:
    """The step's own items and uniform draws; Q of being in either is a + b (1 - a)."""

    def __init__(self, in_batch: InBatch, uniform: Uniform, unique: Unique) -> None:
        self._in_batch, self._uniform, self._unique = in_batch, uniform, unique

    def sample(self, item_E: Rows, rng: torch.Generator | None) -> tuple[Rows, Tensor | None]:
        batch, kept = self._in_batch.kept(item_E, rng)
        rows = self._unique.of(batch, self._uniform.rows(rng))
        batch_N, even_1 = self._in_batch.log_q(rows, len(item_E), kept), self._uniform.log_q_1.double()
        return rows, torch.logaddexp(batch_N, even_1 + torch.log1p(-batch_N.exp().clamp_max(1.0))).float()


def shared_candidates_of(
    settings: Negatives, popularity: NDArray[np.int64], drawable: Rows, unique: Unique
) -> SharedCandidates:
    """The shared candidates of a recipe; `popularity` counts the examples of each item row, `drawable` are rows."""
    match settings:
        case InBatchNegatives():
            return InBatch(settings.max_in_batch, popularity, unique)
        case MixedNegatives():
            in_batch = InBatch(settings.max_in_batch, popularity, unique)
            return Mixed(in_batch, Uniform(settings.num_uniform, drawable, unique), unique)
        case UniformNegatives():
            return Uniform(settings.num_uniform, drawable, unique)
        case OwnNegatives():
            return Full(drawable[:0])
        case FullNegatives():
            return Full(drawable)
        case _:
            assert_never(settings)
