"""gBCE: binary cross-entropy that does not become overconfident when negatives are sampled.

    loss = -beta log sigma(s_p) - sum over the k negatives j of log(1 - sigma(s_j)),    s_j = <q, v_j> / temperature

With k of N - 1 negatives drawn uniformly, plain cross-entropy (beta = 1) sees a positive (N - 1) / k times too often,
and overestimates its probability by as much. Petrov & Macdonald 2023 ("gSASRec", eq. 13) raise sigma(s_p) to the power

    beta = alpha (t (1 - 1/alpha) + 1/alpha),    alpha = k / (N - 1),

which at t = 1 is alpha and corrects it exactly, and at t = 0 is 1, plain cross-entropy; they use t = 0.75.
"""

import torch
from torch import Tensor
from torch.nn import functional

from shortlist.retrieval.losses.chunked import Compared, mean_loss


def gbce_loss(compared: Compared, *, temperature: float, num_items: int, calibration: float) -> Tensor:
    """Weighted mean over the examples, a scalar. The candidates are drawn uniformly from `num_items`; log_q is not
    used. `calibration` is the paper's t."""
    scale = 1.0 / temperature

    def chunk_loss(p_C: Tensor, s_CN: Tensor, pairs_2X: Tensor, part: slice) -> tuple[Tensor, Tensor, Tensor]:  # noqa: ARG001
        p_C, logits_CN = p_C * scale, s_CN.mul_(scale)
        logits_CN[pairs_2X[0], pairs_2X[1]] = -torch.inf
        missing_C = torch.bincount(pairs_2X[0], minlength=len(p_C))
        beta_C = tempered((logits_CN.shape[1] - missing_C) / max(num_items - 1, 1), calibration)
        loss_C = functional.softplus(logits_CN).sum(1) + beta_C * functional.softplus(-p_C)
        return loss_C, -beta_C * torch.sigmoid(-p_C) * scale, logits_CN.sigmoid_().mul_(scale)

    return mean_loss(compared, chunk_loss)


def tempered(alpha: Tensor, calibration: float) -> Tensor:
    """beta for a share `alpha` of the negatives; alpha (t (1 - 1/alpha) + 1/alpha) = 1 - t (1 - alpha)."""
    return 1 - calibration * (1 - alpha.clamp_max(1.0))
