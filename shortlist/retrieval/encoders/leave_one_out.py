"""The mean of a basket with one item left out, for histories without order."""

import torch
from torch import Tensor

from shortlist.retrieval.encoders.encoder import Encoder
from shortlist.retrieval.encoders.packed import Packed


class LeaveOneOutEncoder(Encoder):
    """state_t = mean of all events of the history except t, so that one pass predicts each item from all others.

        state_t = (sum_j x_j - x_t) / (n - 1)

    The state does not contain x_t, since it is subtracted from the sum. The state of a single event is undefined.
    Serving uses the mean of all events. If candidates are compared by cosine, the length of an item's input is free, so
    that training learns how informative an item is about its users; that is FISM (Kabbur et al. 2013) with learned
    weights.
    """

    def forward(self, history_TD: Tensor, packed: Packed) -> Tensor:
        num_histories = sum(number for number, _ in packed.rectangles)
        history_T = (packed.position_T == 0).cumsum(0) - 1
        # In full precision: in half precision, subtracting from a sum of hundreds of terms would be inexact.
        x_TD = history_TD.float()
        count_B = x_TD.new_zeros(num_histories).index_add(0, history_T, x_TD.new_ones(len(x_TD)))
        sum_BD = x_TD.new_zeros(num_histories, x_TD.shape[1]).index_add(0, history_T, x_TD)
        others_T1 = (count_B - 1).clamp_min(1).index_select(0, history_T)[:, None]
        return (sum_BD.index_select(0, history_T) - x_TD) / others_T1

    def last(self, history_BLD: Tensor, length_B: Tensor) -> Tensor:
        at_L = torch.arange(history_BLD.shape[1], device=history_BLD.device)
        share_BL = (at_L < length_B[:, None]).to(history_BLD.dtype) / length_B.clamp_min(1)[:, None]
        return (share_BL[:, None] @ history_BLD)[:, 0]
