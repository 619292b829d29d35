"""The candidates that all examples of a step share, one class per kind.

Each class draws the sorted rows of its candidates. `Drawn.log_q` is the logarithm of the probability Q that a step
contains them, by which the softmax divides (`losses/softmax.py`).

Shapes: E examples of the step (of all processes), N candidates.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, assert_never

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shortlist.recipe import FullNegatives, InBatchNegatives, MixedNegatives, Negatives, OwnNegatives, UniformNegatives
from shortlist.retrieval.losses import log_q_of
from shortlist.retrieval.unique import Unique

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Drawn:
    """The candidates of a step, and how each could come to be one."""

    row_N: Rows
    kept: float | None = None
    """The share of the step's own items that were kept as candidates; None if they are not candidates as such."""
    log_uniform_1: Tensor | None = None
    """Log Q of being drawn uniformly; None without uniform draws."""

    def log_q(self, log_batch: Callable[[], Tensor]) -> Tensor | None:
        """Log Q of the candidates, [N]; None if all are certain.

        `log_batch` computes that of being among the step's own items; it is not called where these are no candidates.
        With both ways in, Q is a + b (1 - a), computed in double precision.
        """
        if self.kept is None:
            return None if self.log_uniform_1 is None else self.log_uniform_1.expand(len(self.row_N))
        log_own_N = log_batch().double() + float(np.log(self.kept))
        if self.log_uniform_1 is None:
            return log_own_N.float()
        even_1 = self.log_uniform_1.double().to(log_own_N.device)
        return torch.logaddexp(log_own_N, even_1 + torch.log1p(-log_own_N.exp().clamp_max(1.0))).float()


class SharedCandidates(Protocol):
    """Draws the shared candidates."""

    def draw(self, item_E: Rows, rng: torch.Generator | None) -> Drawn:
        """The candidates of a step whose examples' own items are `item_E`."""
        ...


class Full:
    """All drawable items."""

    def __init__(self, drawable: Rows) -> None:
        self._drawable = drawable

    def draw(self, item_E: Rows, rng: torch.Generator | None) -> Drawn:  # noqa: ARG002
        return Drawn(self._drawable)


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

    def draw(self, item_E: Rows, rng: torch.Generator | None) -> Drawn:  # noqa: ARG002
        return Drawn(self.rows(rng), log_uniform_1=self.log_q_1)


class InBatch:
    """The step's own items, a share of them if there are many."""

    def __init__(self, max_in_batch: int, unique: Unique) -> None:
        self._max, self._unique = max_in_batch, unique

    def draw(self, item_E: Rows, rng: torch.Generator | None) -> Drawn:
        batch = self._unique.of(item_E)
        if len(batch) <= self._max:
            return Drawn(batch, kept=1.0)
        kept = torch.randperm(len(batch), generator=rng)[: self._max]
        return Drawn(batch[kept.sort().values.numpy()], kept=self._max / len(batch))


class Mixed:
    """The step's own items and uniform draws."""

    def __init__(self, in_batch: InBatch, uniform: Uniform, unique: Unique) -> None:
        self._in_batch, self._uniform, self._unique = in_batch, uniform, unique

    def draw(self, item_E: Rows, rng: torch.Generator | None) -> Drawn:
        own = self._in_batch.draw(item_E, rng)
        rows = self._unique.of(own.row_N, self._uniform.rows(rng))
        return Drawn(rows, own.kept, self._uniform.log_q_1)


def shared_candidates_of(settings: Negatives, drawable: Rows, unique: Unique) -> SharedCandidates:
    """The shared candidates of a recipe; `drawable` are the rows that may be drawn uniformly."""
    match settings:
        case InBatchNegatives():
            return InBatch(settings.max_in_batch, unique)
        case MixedNegatives():
            in_batch = InBatch(settings.max_in_batch, unique)
            return Mixed(in_batch, Uniform(settings.num_uniform, drawable, unique), unique)
        case UniformNegatives():
            return Uniform(settings.num_uniform, drawable, unique)
        case OwnNegatives():
            return Full(drawable[:0])
        case FullNegatives():
            return Full(drawable)
        case _:
            assert_never(settings)
