"""Bayesian personalised ranking (Rendle et al. 2009, section 4.1): a positive should be above each of its negatives.

    loss = -1/k  sum over the k negatives j of log sigma(s_p - s_j),    s_j = <q, v_j> / temperature

The paper draws triples (user, positive, negative) uniformly; the mean over the sampled negatives estimates the same
with less variance. Its regularisation, a Gaussian prior of the weights, is `training.weight_decay`. Only differences of
scores count, so the scores define an order but no probabilities.
"""

import torch
from torch import Tensor
from torch.nn import functional

from shortlist.retrieval.losses.chunked import Compared, mean_loss, num_negatives


def bpr_loss(compared: Compared, *, temperature: float) -> Tensor:
    """Weighted mean over the examples, a scalar."""
    scale = 1.0 / temperature
    if compared.hard_EM is not None:
        return _of_own(compared, compared.hard_EM, scale)

    def chunk_loss(p_C: Tensor, s_CN: Tensor, pairs_2X: Tensor, part: slice) -> tuple[Tensor, Tensor, Tensor]:  # noqa: ARG001
        """d loss / d s_j = sigma(s_j - s_p) / k, and d loss / d s_p is less the sum of these."""
        ahead_CN = s_CN.sub_(p_C[:, None]).mul_(scale)
        ahead_CN[pairs_2X[0], pairs_2X[1]] = -torch.inf
        count_C = num_negatives(ahead_CN, pairs_2X)
        loss_C = functional.softplus(ahead_CN).sum(1) / count_C
        d_CN = ahead_CN.sigmoid_().mul_(scale / count_C[:, None])
        return loss_C, -d_CN.sum(1), d_CN

    return mean_loss(compared, chunk_loss)


def _of_own(compared: Compared, own_EM: Tensor, scale: float) -> Tensor:
    """The same with negatives that were drawn for each example alone: M scores of an example instead of N."""
    with torch.autocast(compared.query_ED.device.type, enabled=False):
        query_ED = compared.query_ED.float()
        there_EM = own_EM >= 0
        negative_EMD = compared.candidate_ND.float().index_select(0, own_EM.clamp_min(0).flatten())
        s_EM = torch.bmm(negative_EMD.view(*own_EM.shape, -1), query_ED[:, :, None]).squeeze(2)
        p_E = (query_ED * compared.positive_ED.float()).sum(1)
        losses_EM = functional.softplus((s_EM - p_E[:, None]) * scale) * there_EM
        loss_E = losses_EM.sum(1) / there_EM.sum(1).clamp_min(1)
        return (loss_E * compared.shares()).sum()
