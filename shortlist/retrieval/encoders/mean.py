"""The mean of the events so far."""

import torch
from torch import Tensor

from shortlist.retrieval.encoders.encoder import Encoder
from shortlist.retrieval.encoders.packed import Packed


class MeanEncoder(Encoder):
    """state_p = mean(x_0..x_p)."""

    def forward(self, history_TD: Tensor, packed: Packed) -> Tensor:
        sum_TD = packed.within(history_TD, lambda x_blD: x_blD.cumsum(1))
        return sum_TD / (packed.position_T + 1)[:, None]

    def last(self, history_BLD: Tensor, length_B: Tensor) -> Tensor:
        at_L = torch.arange(history_BLD.shape[1], device=history_BLD.device)
        share_BL = (at_L < length_B[:, None]).to(history_BLD.dtype) / length_B.clamp_min(1)[:, None]
        return (share_BL[:, None] @ history_BLD)[:, 0]
