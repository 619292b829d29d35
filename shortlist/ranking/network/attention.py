"""Attention from a candidate to the events of the history: the activation unit of DIN (Zhou et al. 2018, KDD,
arXiv 1706.06978).

Shapes: E queries, K candidates each, L events, P width of a projected item vector, H width of the unit.
"""

import torch
from torch import Tensor, nn

NUM_EVENTS = 50
"""The last events of a history that a candidate attends to."""
_HIDDEN = 16


class HistoryAttention(nn.Module):
    """The user's interest in a candidate, from the history (section 4.3):

    `interest(c) = 1/n sum_l a(c, k_l) k_l`, with `a(c, k) = w . relu(W_c c + W_k k + W_p (c * k) + t_l)`.

    As in the paper, the activations are not normalised by a softmax, so that many similar events weigh more than one.
    `t_l` is a learnt embedding of the position from the end, since the paper's unit has no notion of recency. The sum
    is divided by the number n of events, since histories vary in length.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.candidate = nn.Linear(dim, _HIDDEN)
        self.event = nn.Linear(dim, _HIDDEN, bias=False)
        self.product = nn.Linear(dim, _HIDDEN, bias=False)
        self.place = nn.Parameter(torch.zeros(NUM_EVENTS, _HIDDEN))
        """t, starting at the last event."""
        self.activation = nn.Linear(_HIDDEN, 1)

    def forward(self, candidate_EKP: Tensor, event_ELP: Tensor, length_E: Tensor) -> Tensor:
        """Interest [E, K, P]; the events are in reverse order, last one first, and `length_E` of them are valid."""
        width = event_ELP.shape[1]
        inside_EL = torch.arange(width, device=length_E.device) < length_E[:, None]
        event_ELH = self.event(event_ELP) + self.place[:width]
        # W_p (c * k) = (W_p diag(c)) k: one matrix per candidate instead of one product per pair.
        crossed_EKHP = candidate_EKP[:, :, None, :] * self.product.weight
        hidden_EKLH = torch.matmul(event_ELP[:, None], crossed_EKHP.transpose(-1, -2))
        hidden_EKLH = hidden_EKLH + self.candidate(candidate_EKP)[:, :, None] + event_ELH[:, None]
        weight_EKL = self.activation(hidden_EKLH.relu()).squeeze(-1) * inside_EL[:, None]
        interest_EKP: Tensor = torch.matmul(weight_EKL, event_ELP) / length_E.clamp(min=1)[:, None, None]
        return interest_EKP
