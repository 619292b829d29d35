"""Scores of E examples against N candidates, a chunk of examples at a time, with their gradients.

Shapes: E examples, C of them in one chunk, N candidates, M hard negatives of an example, X pairs, D vector width.

Memory does not grow with E * N: the derivatives by a chunk's scores are turned into gradients of the vectors at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from shortlist.retrieval.transfer import to_device

_CHUNK = {"cpu": 8_000_000, "cuda": 200_000_000}
"""Scores per chunk: 32 MB in float32 on a CPU, for its caches, and 800 MB on a GPU, to limit kernel launches."""

ChunkLoss = Callable[[Tensor, Tensor, Tensor, slice], tuple[Tensor, Tensor, Tensor]]
"""(positive's score [C], scores [C, N], pairs that are not negatives [2, X], slice of the examples)
-> loss [C] and its derivatives by the positive's score [C] and by the scores [C, N]. It may overwrite the scores."""


@dataclass(frozen=True)
class Compared:
    """E examples and their candidates."""

    query_ED: Tensor
    positive_ED: Tensor
    """The vector of each example's own item."""
    candidate_ND: Tensor
    weight_E: Tensor
    """The weight of each example in the mean."""
    no_negative_2X: Tensor
    """(example, candidate): an example's own item and other known positives, in the order of the examples; on the CPU,
    so that it is split into chunks without waiting for a GPU."""
    log_q_N: Tensor | None = None
    """Logarithm of the probability that each candidate is sampled; None if all are certain, inf for a candidate that is
    only a hard negative of some examples."""
    hard_EM: Tensor | None = None
    """The hard negatives of each example, which it is compared with for certain, or all that were drawn for it alone;
    -1 is padding."""
    total_weight: float | None = None
    """The weight of the whole step, if these examples are a part of it; the losses of the parts add up."""

    def shares(self) -> Tensor:
        """The share of each example in the mean, [E], in full precision."""
        weight_E = self.weight_E.float()
        total = weight_E.sum() if self.total_weight is None else weight_E.new_tensor(self.total_weight)
        return weight_E / total.clamp_min(1e-12)


def mean_loss(compared: Compared, chunk_loss: ChunkLoss) -> Tensor:
    """Weighted mean of `chunk_loss` over the examples, a scalar; gradients flow to the three vectors' tensors."""
    # In half precision, scores would lose their second digit: cosines are divided by a small temperature.
    with torch.autocast(compared.query_ED.device.type, enabled=False):
        loss: Tensor = _MeanLoss.apply(  # type: ignore[no-untyped-call]  # torch types no autograd function
            compared.query_ED.float(),
            compared.candidate_ND.float(),
            compared.positive_ED.float(),
            compared.shares(),
            compared.no_negative_2X,
            chunk_loss,
        )
    return loss


class _MeanLoss(torch.autograd.Function):
    """The loss and its gradients in one pass."""

    @staticmethod
    def forward(
        ctx: Any,
        query_ED: Tensor,
        candidate_ND: Tensor,
        positive_ED: Tensor,
        share_E: Tensor,
        no_negative_2X: Tensor,
        chunk_loss: ChunkLoss,
    ) -> Tensor:
        size = max(1, _CHUNK[query_ED.device.type] // max(len(candidate_ND), 1))
        loss = query_ED.new_zeros((), dtype=torch.float64)
        d_query_ED, d_positive_ED = torch.empty_like(query_ED), torch.empty_like(positive_ED)
        d_candidate_ND = torch.zeros_like(candidate_ND)
        firsts = torch.arange(0, len(query_ED) + size, size)
        bounds = torch.searchsorted(no_negative_2X[0].contiguous(), firsts).tolist()
        no_negative_2X = to_device(query_ED.device, no_negative_2X)
        for number, first in enumerate(range(0, len(query_ED), size)):
            part = slice(first, first + size)
            q_CD, p_CD, share_C = query_ED[part], positive_ED[part], share_E[part]
            example_X, candidate_X = no_negative_2X[:, bounds[number] : bounds[number + 1]]
            pairs_2X = torch.stack([example_X - first, candidate_X])
            loss_C, d_p_C, d_CN = chunk_loss((q_CD * p_CD).sum(1), q_CD @ candidate_ND.T, pairs_2X, part)
            loss += (share_C * loss_C).double().sum()
            d_CN.mul_(share_C[:, None])
            d_p_C1 = (d_p_C * share_C)[:, None]
            torch.addmm(d_p_C1 * p_CD, d_CN, candidate_ND, out=d_query_ED[part])
            torch.mul(d_p_C1, q_CD, out=d_positive_ED[part])
            d_candidate_ND.addmm_(d_CN.T, q_CD)
        ctx.save_for_backward(d_query_ED, d_candidate_ND, d_positive_ED)
        return loss.float()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        d_query_ED, d_candidate_ND, d_positive_ED = ctx.saved_tensors
        return gradient * d_query_ED, gradient * d_candidate_ND, gradient * d_positive_ED, None, None, None


def num_negatives(scores_CN: Tensor, pairs_2X: Tensor) -> Tensor:
    """Number of negatives of each example, at least 1, [C]; `pairs_2X` are the candidates that are not negatives."""
    return (scores_CN.shape[1] - pairs_2X[0].bincount(minlength=len(scores_CN))).clamp_min(1)
