"""Softmax over all items, or an estimate of it from some of them.

For an example with query q and positive p the loss over a catalogue is

    -log( exp(s_p) / Z ),   Z = sum over all items j of exp(s_j),   s_j = <q, v_j> / temperature.

A step has only a sample of the items. Weighted by the inverse of their inclusion probability Q, they estimate Z without
bias (Horvitz & Thompson 1952; for softmax Bengio & Senecal 2008):

    Z ~ exp(s_p) + sum over the sampled items j != p of exp(s_j) / Q_j
      = exp(s_p) + sum over the sampled items j != p of exp(s_j - log Q_j)

so the logarithm of Q is *subtracted* from a negative's logit (logQ correction, Yi et al. 2019). The positive is always
in the sum, so it is not corrected (Khrylchenko et al. 2025, "Correcting the LogQ Correction"). The hard negatives of an
example are not corrected either: they are always in the sum, and only the rest of Z is estimated. Since they are the
largest terms, this reduces the variance of the estimate and leaves it unbiased.

Mixed negatives (Yang et al. 2020) are the batch's items and uniform draws; Q is the probability of being in either.
"""

import torch
from torch import Tensor

from shortlist.retrieval.losses.chunked import Compared, mean_loss


def softmax_loss(compared: Compared, *, temperature: float) -> Tensor:
    """Weighted mean of -log softmax of the positives; a scalar."""
    scale = 1.0 / temperature

    def chunk_loss(p_C: Tensor, s_CN: Tensor, pairs_2X: Tensor, part: slice) -> tuple[Tensor, Tensor, Tensor]:
        """d loss / d s_j = softmax_j - [j is the positive]."""
        p_C, logits_CN = p_C * scale, s_CN.mul_(scale)
        if compared.log_q_N is not None:
            logits_CN = _corrected(logits_CN, compared.log_q_N, compared.hard_EM, part)
        logits_CN[pairs_2X[0], pairs_2X[1]] = -torch.inf
        log_z_C = torch.logaddexp(p_C, torch.logsumexp(logits_CN, dim=1))
        d_CN = logits_CN.sub_(log_z_C[:, None]).exp_().mul_(scale)
        return log_z_C - p_C, torch.expm1(p_C - log_z_C) * scale, d_CN

    return mean_loss(compared, chunk_loss)


def _corrected(logits_CN: Tensor, log_q_N: Tensor, hard_EM: Tensor | None, part: slice) -> Tensor:
    """Logits minus log Q, which is 0 for an example's hard negatives."""
    if hard_EM is None:
        return logits_CN.sub_(log_q_N)
    row, slot = (hard_EM[part] >= 0).nonzero(as_tuple=True)
    column = hard_EM[part][row, slot]
    certain = logits_CN[row, column]
    logits_CN.sub_(log_q_N)
    logits_CN[row, column] = certain
    return logits_CN


def log_q_of(share_N: Tensor, num_draws: int) -> Tensor:
    """Logarithm of the probability Q that an item with this share of the draws is among `num_draws` draws; [N].

    1 - (1 - share)^draws, in double precision, since a share may be 1e-9.
    """
    share_N = share_N.double().clamp(1e-12, 1 - 1e-12)
    return torch.log(-torch.expm1(num_draws * torch.log1p(-share_N))).float()
