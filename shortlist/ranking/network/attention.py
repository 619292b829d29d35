"""Attention from a candidate to the events of a history: the activation unit of DIN (Zhou et al. 2018, KDD,
arXiv 1706.06978).

Shapes: E queries, K candidates each, L events, P width of a projected item vector, H width of the unit.
"""

import torch
from torch import Tensor, nn

NUM_EVENTS = 50
"""The last events of a history that a candidate attends to."""
_HIDDEN = 16


class HistoryAttention(nn.Module):
    """How much of its own kind a candidate finds in the history, section 4.3:

    `interest(c) = 1/n sum_l a(c, k_l) k_l`, with `a(c, k) = w . relu(W_c c + W_k k + W_p (c * k) + t_l)`.

    As in the paper the activations are no softmax: a history full of what the candidate is weighs more than one event
    of it. `t_l` is learnt for each place from the end, because the paper's unit does not know what came last; the sum
    is divided by the number n of events, because histories here have any length.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.candidate = nn.Linear(dim, _HIDDEN)
        self.event = nn.Linear(dim, _HIDDEN, bias=False)
        self.product = nn.Linear(dim, _HIDDEN, bias=False)
        self.place = nn.Parameter(torch.zeros(NUM_EVENTS, _HIDDEN))
        """t, the last event first."""
        self.activation = nn.Linear(_HIDDEN, 1)

    def forward(self, candidate_EKP: Tensor, event_ELP: Tensor, length_E: Tensor) -> Tensor:
        """Interest [E, K, P]; the events stand from the last one back, `length_E` of them are there."""
        width = event_ELP.shape[1]
        inside_EL = torch.arange(width, device=length_E.device) < length_E[:, None]
        event_ELH = self.event(event_ELP) + self.place[:width]
        # W_p (c * k) = (W_p diag(c)) k: a matrix for each candidate instead of a product for each pair.
        crossed_EKHP = candidate_EKP[:, :, None, :] * self.product.weight
        hidden_EKLH = torch.matmul(event_ELP[:, None], crossed_EKHP.transpose(-1, -2))
        hidden_EKLH = hidden_EKLH + self.candidate(candidate_EKP)[:, :, None] + event_ELH[:, None]
        weight_EKL = self.activation(hidden_EKLH.relu()).squeeze(-1) * inside_EL[:, None]
        interest_EKP: Tensor = torch.matmul(weight_EKL, event_ELP) / length_E.clamp(min=1)[:, None, None]
        return interest_EKP
