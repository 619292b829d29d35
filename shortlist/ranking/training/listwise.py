"""The listwise loss of the ranker and of the straight line that it begins with.

Shapes: E queries, K candidates each.
"""

from torch import Tensor

_NEVER = -1e9
"""The logit of padding: of -inf the share 0 would make no number."""


def listwise_loss(logits_EK: Tensor, inside_EK: Tensor, share_EK: Tensor) -> Tensor:
    """Softmax over the candidates inside; the positives share what is right (ListNet's top one, Cao et al. 2007).

    Where all shares of a query are 1 together, every query counts alike, as in NDCG.
    """
    log_share_EK = logits_EK.masked_fill(~inside_EK, _NEVER).log_softmax(dim=1)
    return -(log_share_EK * share_EK).sum() / share_EK.sum()
