"""Binary cross-entropy against sampled negatives, as SASRec has it (Kang & McAuley 2018, eq. 7).

    loss = -log sigma(s_p) - 1/k  sum over the k negatives j of log(1 - sigma(s_j)),    s_j = <q, v_j> / temperature

The paper draws one negative per positive. Here there are k, and their mean estimates the same expectation with less
variance: a positive has the same weight as all its negatives together, whatever their number. The scores depend on the
sampling of negatives, since nothing corrects for it; gBCE (`gbce.py`) sums over the negatives and corrects for it.
"""

import torch
from torch import Tensor
from torch.nn import functional

from shortlist.retrieval.losses.chunked import Compared, mean_loss, num_negatives


def bce_loss(compared: Compared, *, temperature: float) -> Tensor:
    """Weighted mean over the examples, a scalar."""
    scale = 1.0 / temperature

    def chunk_loss(p_C: Tensor, s_CN: Tensor, pairs_2X: Tensor, part: slice) -> tuple[Tensor, Tensor, Tensor]:  # noqa: ARG001
        """d loss / d s_j = sigma(s_j) / k, d loss / d s_p = -sigma(-s_p)."""
        p_C, logits_CN = p_C * scale, s_CN.mul_(scale)
        logits_CN[pairs_2X[0], pairs_2X[1]] = -torch.inf
        count_C = num_negatives(logits_CN, pairs_2X)
        loss_C = functional.softplus(-p_C) + functional.softplus(logits_CN).sum(1) / count_C
        return loss_C, -torch.sigmoid(-p_C) * scale, logits_CN.sigmoid_().mul_(scale / count_C[:, None])

    return mean_loss(compared, chunk_loss)
