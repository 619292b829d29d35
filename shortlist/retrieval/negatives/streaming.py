"""The probability that a step contains an item, estimated from the stream of steps (Yi et al. 2019, algorithm 2).

At step t, for each cell of each of the step's items:

    gap <- (1 - alpha) gap + alpha (t - seen),   seen <- t,      Q = 1 / gap

`gap` averages the steps between two sightings. If a step contains an item with probability Q, independently of other
steps, each of these is geometric with mean 1 / Q. The first sighting sets the gap to its own step number, which has
this mean too, so that the average has it from the start, and no initial value has to be chosen.

Exact counts (`sampler.py`) need the whole training data in advance and assume that it does not drift; the estimate
needs neither, and its memory does not depend on the number of items.

Shapes: H hash functions, C cells of each, U unique items of a step, N candidates.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shortlist.hashing import cells_of
from shortlist.recipe import Retrieval, SoftmaxLoss, StreamingLogQ
from shortlist.retrieval.negatives.kinds import Drawn, Rows
from shortlist.retrieval.transfer import to_device


@dataclass(frozen=True)
class Sighting:
    """The items of a step, by their cells, and the candidates whose log Q is estimated after seeing them."""

    cell_HU: Tensor
    """Cells of the step's own items."""
    cell_HS: Tensor
    """Cells of the candidates that all examples share."""
    drawn: Drawn
    at_S: Tensor | None
    """Positions of the shared candidates among all `num_candidates`, if some are hard negatives only."""
    num_candidates: int

    def to(self, device: torch.device) -> "Sighting":
        """The same on a device."""
        at_S = None if self.at_S is None else to_device(device, self.at_S)
        cells = (to_device(device, self.cell_HU), to_device(device, self.cell_HS))
        return Sighting(*cells, self.drawn, at_S, self.num_candidates)


def streaming_of(retrieval: Retrieval) -> StreamingLogQ | None:
    """The settings of the estimate; None for a recipe that counts exactly or corrects nothing."""
    loss = retrieval.loss
    return loss.log_q if isinstance(loss, SoftmaxLoss) and isinstance(loss.log_q, StreamingLogQ) else None


def cells_of_rows(row_N: Rows, settings: StreamingLogQ) -> NDArray[np.int64]:
    """The cells of item rows, [H, N]."""
    return cells_of(row_N.astype(np.uint64), settings.hashes, settings.cells)


class StreamingFrequency(nn.Module):
    """The estimate. Its state is in buffers, so that checkpoints contain it and a resumed training continues it."""

    step: Tensor
    seen_HC: Tensor
    gap_HC: Tensor

    def __init__(self, settings: StreamingLogQ) -> None:
        super().__init__()
        self.alpha = settings.alpha
        shape = (settings.hashes, settings.cells)
        self.register_buffer("step", torch.zeros((), dtype=torch.int32))
        self.register_buffer("seen_HC", torch.zeros(shape, dtype=torch.int32))  # 0 is never
        self.register_buffer("gap_HC", torch.zeros(shape))

    @torch.no_grad()
    def observe(self, cell_HU: Tensor) -> None:
        """Count a step with items of these cells."""
        self.step += 1
        seen_HU, gap_HU = self.seen_HC.gather(1, cell_HU), self.gap_HC.gather(1, cell_HU)
        since_HU = (self.step - seen_HU).float()
        gap_HU = torch.where(seen_HU == 0, since_HU, torch.lerp(gap_HU, since_HU, self.alpha))
        # Items of a step that share a cell write equal values, so it is updated once.
        self.gap_HC.scatter_(1, cell_HU, gap_HU)
        self.seen_HC.scatter_(1, cell_HU, self.step.expand_as(seen_HU))

    def log_q(self, cell_HN: Tensor) -> Tensor:
        """Log Q of items with these cells, [N]; an item that was never seen has a gap of all steps so far, at least."""
        gap_HN = self.gap_HC.gather(1, cell_HN)
        gap_HN = torch.where(self.seen_HC.gather(1, cell_HN) == 0, self.step.clamp_min(1).float(), gap_HN)
        return -gap_HN.amax(0).clamp_min(1).log()

    def log_q_after(self, sighting: Sighting) -> Tensor:
        """Count the step, then log Q of its candidates, [N]; inf for those that are hard negatives only."""
        self.observe(sighting.cell_HU)
        log_q_S = sighting.drawn.log_q(lambda: self.log_q(sighting.cell_HS))
        assert log_q_S is not None, "the recipe does not allow this estimate where all candidates are certain"
        return spread(log_q_S, sighting.at_S, sighting.num_candidates)


def spread(log_q_S: Tensor, at_S: Tensor | None, num_candidates: int) -> Tensor:
    """Log Q of all candidates, [N], from that of the shared ones; inf for those that are hard negatives only."""
    if at_S is None:
        return log_q_S
    log_q_N = torch.full((num_candidates,), torch.inf, device=log_q_S.device)
    log_q_N[at_S] = log_q_S
    return log_q_N
