"""The listwise loss of the ranker and of the linear model that its training starts from.

Shapes: E queries, K candidates each.
"""

from torch import Tensor

_NEVER = -1e9
"""The logit of padding; with -inf, the product with a share of 0 would be NaN."""


def listwise_loss(logits_EK: Tensor, inside_EK: Tensor, share_EK: Tensor) -> Tensor:
    """Softmax cross-entropy over the candidates in `inside_EK`, with target shares (ListNet top one, Cao et al. 2007).

    If the shares of a query sum to 1, all queries have equal weight, as in NDCG.
    """
    log_share_EK = logits_EK.masked_fill(~inside_EK, _NEVER).log_softmax(dim=1)
    return -(log_share_EK * share_EK).sum() / share_EK.sum()
