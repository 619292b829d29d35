"""The linear model that a ranker's training starts from: a conditional logit of the score and of recent popularity.

A few hundred queries give a few hundred steps, and a step of Adam moves a weight by at most about the learning rate, so
that training would hardly reach the best weights of these few features. The linear model is convex and is fitted first,
and the network learns the rest: see docs/decisions/drift.md.

Shapes: Q queries, K candidates each, N features of a candidate.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shortlist.ranking.network.model import Head, RankingModel
from shortlist.ranking.training.batches import Retrieved
from shortlist.ranking.training.listwise import listwise_loss

_MOST = 1_000
"""The number of queries for the fit; more do not improve so few weights."""
_RIDGE = 1e-4
_STEPS = 50


def begin_with_line(model: RankingModel, retrieved: Retrieved, at_Q: NDArray[np.int64]) -> None:
    """Set the weights of the retrieval score and of recent popularity to the best fit on the queries `at_Q`, by head.

    Nothing changes if the network does not read recent popularity, or if no query has a retrieved target of the head.
    """
    for head, objective in zip(model.heads, retrieved.objectives, strict=True):
        _begin(model, head, retrieved, retrieved.hits(objective), at_Q)


def _begin(
    model: RankingModel, head: Head, retrieved: Retrieved, hits_QK: NDArray[np.bool_], at_Q: NDArray[np.int64]
) -> None:
    at_Q = at_Q[hits_QK[at_Q].any(axis=1)]
    if head.recent is None or head.score_weight is None or not len(at_Q):
        return
    at_Q = at_Q[:: -(-len(at_Q) // _MOST)]
    inputs = model.read(retrieved.request(at_Q))
    assert inputs.recent_EKR is not None
    numbers_QKN = np.concatenate([inputs.score_EK[..., None], inputs.recent_EKR], axis=2, dtype=np.float64)
    weights_N = conditional_logit(numbers_QKN, retrieved.rows_QK[at_Q] > 0, hits_QK[at_Q])
    with torch.no_grad():
        head.score_weight.fill_(weights_N[0])
        head.recent.bias.copy_(torch.from_numpy(weights_N[1:]))


def conditional_logit(
    numbers_QKN: NDArray[np.float64], inside_QK: NDArray[np.bool_], chosen_QK: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """The weights w [N] that maximise the mean over queries of `mean over the chosen c of log softmax(w . x)_c`, minus
    a ridge penalty of 0.0001 |w|^2 (McFadden 1974, "Conditional logit analysis of qualitative choice behavior").

    The softmax is over the candidates in `inside_QK`; each query has at least one chosen candidate. The objective is
    concave and maximised by L-BFGS.
    """
    numbers, inside = torch.from_numpy(numbers_QKN), torch.from_numpy(inside_QK)
    share_QK = torch.from_numpy(chosen_QK / chosen_QK.sum(axis=1, keepdims=True))
    weights_N = torch.zeros(numbers.shape[2], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights_N], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = _RIDGE * weights_N.square().sum() + listwise_loss(numbers @ weights_N, inside, share_QK)
        value.backward()  # type: ignore[no-untyped-call]  # torch declares backward without types
        return value

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    found: NDArray[np.float64] = weights_N.detach().numpy()
    return found
