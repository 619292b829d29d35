"""Softmax losses of retrieval.

Shapes: E examples, N candidates, D vector width.

For an example with query q and positive p the loss over a catalogue is

    -log( exp(s_p) / Z ),   Z = sum over all items j of exp(s_j),   s_j = <q, v_j> / temperature.

In a batch only some items are there, drawn by their popularity. Weighted by the chance of being there, they estimate
Z without bias (Horvitz & Thompson 1952; for softmax Bengio & Senecal 2008):

    Z ~ exp(s_p) + sum over the batch's items j != p of exp(s_j) / chance_j
      = exp(s_p) + sum over the batch's items j != p of exp(s_j - log chance_j)

so the logarithm of the chance is *subtracted* from a negative's logit (logQ correction, Yi et al. 2019). The positive
is in the sum for certain, so it is not corrected (Khrylchenko et al. 2025, "Correcting the LogQ Correction").
"""

from typing import Any

import torch
from torch import Tensor

_CHUNK = 8_000_000
"""Logits held at a time, 32 MB in float32."""


def softmax_loss(
    query_ED: Tensor,
    candidate_ND: Tensor,
    positive_ED: Tensor,
    *,
    own_E: Tensor,
    weight_E: Tensor,
    temperature: float,
    log_chance_N: Tensor | None = None,
) -> Tensor:
    """Weighted mean over the examples of the softmax loss of `positive_ED` against `candidate_ND`; a scalar.

    `own_E` is the column of each example's own item among the candidates, -1 where it is not there: the item is no
    negative of itself. `log_chance_N` is the logarithm of each candidate's chance to be among the candidates; without
    it all are taken as certain, which over all items is the full softmax. Memory does not grow with E * N: logits are
    made in chunks, and their gradients with them. Gradients flow to the three vectors' tensors.
    """
    # Half precision would cost the logits their second digit: cosines are divided by a small temperature.
    with torch.autocast(query_ED.device.type, enabled=False):
        share_E = weight_E.float() / weight_E.float().sum().clamp_min(1e-12)
        loss: Tensor = _SoftmaxLoss.apply(  # type: ignore[no-untyped-call]  # torch types no autograd function
            query_ED.float(), candidate_ND.float(), positive_ED.float(), own_E, share_E, 1.0 / temperature, log_chance_N
        )
    return loss


def log_chance(share_N: Tensor, num_draws: int) -> Tensor:
    """Logarithm of the chance that an item with this share of the draws is among `num_draws` of them; [N].

    1 - (1 - share)^draws, in double precision, since a share may be 1e-9.
    """
    share_N = share_N.double().clamp(1e-12, 1 - 1e-12)
    return torch.log(-torch.expm1(num_draws * torch.log1p(-share_N))).float()


class _SoftmaxLoss(torch.autograd.Function):
    """The loss and its gradients in one pass: d loss / d s_j = share * (softmax_j - [j is the positive])."""

    @staticmethod
    def forward(
        ctx: Any,
        query_ED: Tensor,
        candidate_ND: Tensor,
        positive_ED: Tensor,
        own_E: Tensor,
        share_E: Tensor,
        scale: float,
        log_chance_N: Tensor | None,
    ) -> Tensor:
        count = len(query_ED)
        size = max(1, _CHUNK // max(len(candidate_ND), 1))
        loss = query_ED.new_zeros((), dtype=torch.float64)
        d_query_ED, d_positive_ED = torch.empty_like(query_ED), torch.empty_like(positive_ED)
        d_candidate_ND = torch.zeros_like(candidate_ND)
        for first in range(0, count, size):
            part = slice(first, first + size)
            q_CD, p_CD, own_C, share_C = query_ED[part], positive_ED[part], own_E[part], share_E[part]
            logits_CN = (q_CD * scale) @ candidate_ND.T
            if log_chance_N is not None:
                logits_CN -= log_chance_N
            at = (own_C >= 0).nonzero()[:, 0]
            logits_CN[at, own_C[at]] = -torch.inf
            s_p_C = (q_CD * p_CD).sum(1) * scale
            log_z_C = torch.logaddexp(s_p_C, torch.logsumexp(logits_CN, dim=1))
            loss += (share_C * (log_z_C - s_p_C)).double().sum()
            d_logits_CN = logits_CN.sub_(log_z_C[:, None]).exp_().mul_((share_C * scale)[:, None])
            d_positive_C1 = ((s_p_C - log_z_C).exp() - 1).mul(share_C * scale)[:, None]
            torch.addmm(d_positive_C1 * p_CD, d_logits_CN, candidate_ND, out=d_query_ED[part])
            torch.mul(d_positive_C1, q_CD, out=d_positive_ED[part])
            d_candidate_ND.addmm_(d_logits_CN.T, q_CD)
        ctx.save_for_backward(d_query_ED, d_candidate_ND, d_positive_ED)
        return loss.float()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        d_query_ED, d_candidate_ND, d_positive_ED = ctx.saved_tensors
        return gradient * d_query_ED, gradient * d_candidate_ND, gradient * d_positive_ED, None, None, None, None
