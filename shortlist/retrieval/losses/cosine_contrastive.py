"""Cosine contrastive loss of SimpleX (Mao et al. 2021).

    loss = (1 - cos(q, v_p)) + w / k  sum over the k negatives j of max(0, cos(q, v_j) - margin)

A negative with a cosine below the margin has no loss, so that many easy negatives do not outweigh the few hard ones.
The scores are not probabilities and have no defined relation to those of the softmax.
"""

from torch import Tensor

from shortlist.retrieval.losses.chunked import Compared, mean_loss, num_negatives


def cosine_contrastive_loss(compared: Compared, *, margin: float, negative_weight: float) -> Tensor:
    """Weighted mean over the examples, a scalar; vectors have length 1, the candidates are drawn uniformly."""

    def chunk_loss(p_C: Tensor, s_CN: Tensor, pairs_2X: Tensor, part: slice) -> tuple[Tensor, Tensor, Tensor]:  # noqa: ARG001
        count_C1 = num_negatives(s_CN, pairs_2X)[:, None]
        over_CN = s_CN.sub_(margin)
        over_CN[pairs_2X[0], pairs_2X[1]] = 0.0
        share_C1 = negative_weight / count_C1
        loss_C = 1 - p_C + (over_CN.clamp_min(0) * share_C1).sum(1)
        return loss_C, p_C.new_full(p_C.shape, -1.0), (over_CN > 0) * share_C1

    return mean_loss(compared, chunk_loss)
