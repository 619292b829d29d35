"""Attention pooling."""

import torch
from torch import Tensor, nn

from shortlist.retrieval.encoders.distance import by_distance, later, to_last
from shortlist.retrieval.encoders.encoder import Encoder
from shortlist.retrieval.encoders.packed import Packed


class AttentionEncoder(Encoder):
    """Multi-head attention of learned queries, by content and recency.

        weight_{p,j} = softmax over j <= p of  <u_h, x_j> + r_h[p - j],     state_p = W [sum_j weight_{p,j} x_j]_h

    `u_h` is the learned query of head h in the space of the keys, `r_h` a learned bias for every distance (like the
    relative bias of T5, Raffel et al. 2020), initialised with the slopes of ALiBi (Press et al. 2022) so that heads
    have different ranges. Values are projected after the sum, which is equal by linearity and L times cheaper.
    """

    def __init__(self, dim: int, history_length: int, heads: int) -> None:
        super().__init__()
        self.score = nn.Linear(dim, heads, bias=False)
        slope_H = torch.cat([torch.zeros(1), 0.5 ** torch.arange(heads - 1, dtype=torch.float32)])
        self.recency_HL = nn.Parameter(-slope_H[:, None] * torch.arange(history_length))
        self.value = nn.Linear(heads * dim, dim, bias=False)
        with torch.no_grad():  # starts as the mean over the heads, in the space of the items
            self.value.weight.copy_(torch.eye(dim).repeat(1, heads) / heads)

    def forward(self, history_TD: Tensor, packed: Packed) -> Tensor:
        bias_HLL = by_distance(self.recency_HL, packed.width)
        bias_HLL = bias_HLL.masked_fill(later(packed.width, history_TD.device), -torch.inf)

        def pooled(x_blD: Tensor) -> Tensor:
            width = x_blD.shape[1]
            logits_bHll: Tensor = self.score(x_blD).transpose(1, 2)[:, :, None] + bias_HLL[:, :width, :width]
            mixed_bHlD = logits_bHll.softmax(-1).to(x_blD.dtype) @ x_blD[:, None]
            return mixed_bHlD.transpose(1, 2).flatten(2)

        state_TD: Tensor = self.value(packed.within(history_TD, pooled))
        return state_TD

    def last(self, history_BLD: Tensor, length_B: Tensor) -> Tensor:
        # An empty history reads its padding; its state is not used, and a softmax over nothing would be NaN.
        length_B = length_B.clamp_min(1)
        logits_BHL = self.score(history_BLD).transpose(1, 2) + to_last(self.recency_HL, length_B)
        at_L = torch.arange(history_BLD.shape[1], device=history_BLD.device)
        logits_BHL = logits_BHL.masked_fill((at_L >= length_B[:, None])[:, None], -torch.inf)
        mixed_BHD = logits_BHL.softmax(-1).to(history_BLD.dtype) @ history_BLD
        state_BD: Tensor = self.value(mixed_BHD.flatten(1))
        return state_BD
