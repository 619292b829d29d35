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

    def chunk_loss(p_C: Tensor, s_CN: Tensor, pairs_2X: Tensor, part: slice) -> tuple[Tensor, Tensor, Tensor]:  # noqa: ARG001
        """d loss / d s_j = sigma(s_j - s_p) / k, and d loss / d s_p is less the sum of these."""
        ahead_CN = s_CN.sub_(p_C[:, None]).mul_(scale)
        ahead_CN[pairs_2X[0], pairs_2X[1]] = -torch.inf
        count_C = num_negatives(ahead_CN, pairs_2X)
        loss_C = functional.softplus(ahead_CN).sum(1) / count_C
        d_CN = ahead_CN.sigmoid_().mul_(scale / count_C[:, None])
        return loss_C, -d_CN.sum(1), d_CN

    return mean_loss(compared, chunk_loss)
