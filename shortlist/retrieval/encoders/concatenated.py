"""Several encoders of the same history."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from shortlist.retrieval.encoders.encoder import Encoder
from shortlist.retrieval.encoders.packed import Packed


class ConcatenatedEncoder(Encoder):
    """state_p = [state_p of the first; ...; state_p of the last], of width M D for M encoders."""

    def __init__(self, encoders: Sequence[Encoder]) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        self.num_states = len(encoders)

    def forward(self, history_TD: Tensor, packed: Packed) -> Tensor:
        return torch.cat([encoder(history_TD, packed) for encoder in self.encoders], dim=-1)

    def last(self, history_BLD: Tensor, length_B: Tensor) -> Tensor:
        encoders = (one for one in self.encoders if isinstance(one, Encoder))
        return torch.cat([encoder.last(history_BLD, length_B) for encoder in encoders], dim=-1)
