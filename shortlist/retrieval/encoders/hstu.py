"""The sequential transduction unit of HSTU.

Shapes: B histories, L events of each, T events of all of them concatenated, b histories of a rectangle of width l,
D width, H heads, K width of a head; M stands for either T or [B, L].
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from shortlist.retrieval.dropout import Dropout
from shortlist.retrieval.encoders.distance import by_distance, later, to_last
from shortlist.retrieval.encoders.encoder import Encoder, head_width, last_event
from shortlist.retrieval.encoders.packed import Packed


class HstuEncoder(Encoder):
    """A stack of HSTU layers (Zhai et al. 2024, "Actions Speak Louder than Words").

    It has the positional part of the paper's relative bias. The temporal part would need the times of the history in
    every request, and not all logs have times.
    """

    def __init__(self, dim: int, history_length: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        head_dim = head_width(dim, heads, multiple=1)
        self.dropout = Dropout(dropout)
        self.layers = nn.ModuleList([Layer(dim, head_dim, history_length, dropout) for _ in range(layers)])
        self.norm = nn.LayerNorm(dim)

    def forward(self, history_TD: Tensor, packed: Packed) -> Tensor:
        x_TD = self.dropout(history_TD)
        for layer in self.layers:
            x_TD = layer(x_TD, packed)
        state_TD: Tensor = self.norm(x_TD)
        return state_TD

    def last(self, history_BLD: Tensor, length_B: Tensor) -> Tensor:
        x_BLD = self.dropout(history_BLD)
        *before, final = (layer for layer in self.layers if isinstance(layer, Layer))
        for layer in before:
            x_BLD = layer.padded(x_BLD)
        state_BD: Tensor = self.norm(final.last(x_BLD, length_B))
        return state_BD


class Layer(nn.Module):
    """Pointwise attention, which keeps the magnitude of the attention instead of normalising it.

    u, v, q, k = silu(W1 norm(x))
    a_{p,j} = silu(<q_p, k_j> + r_h[p - j]) / L  for j <= p, else 0
    out = x + W2 (norm([sum_j a_{p,j} v_j]_h) * u)
    """

    def __init__(self, dim: int, head_dim: int, history_length: int, dropout: float) -> None:
        super().__init__()
        self.dim, self.head_dim, self.history_length = dim, head_dim, history_length
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.read = nn.Linear(dim, 4 * dim)
        self.bias_HL = nn.Parameter(torch.zeros(dim // head_dim, history_length))
        self.out = nn.Linear(dim, dim)
        self.dropout = Dropout(dropout)

    def forward(self, x_TD: Tensor, packed: Packed) -> Tensor:
        qkv_TC, u_TD = self._read(x_TD)
        bias_HLL = by_distance(self.bias_HL, packed.width)
        return self._rest(x_TD, packed.within(qkv_TC, lambda qkv_blC: self._mix(qkv_blC, bias_HLL)), u_TD)

    def padded(self, x_BLD: Tensor) -> Tensor:
        """The same over padded histories, [B, L, D]."""
        qkv_BLC, u_BLD = self._read(x_BLD)
        at_L = torch.arange(x_BLD.shape[1], device=x_BLD.device)
        bias_HLL = self.bias_HL[:, (at_L[:, None] - at_L).clamp_min(0)]
        return self._rest(x_BLD, self._mix(qkv_BLC, bias_HLL), u_BLD)

    def last(self, x_BLD: Tensor, length_B: Tensor) -> Tensor:
        """Output at event `length - 1` alone, [B, D]."""
        qkv_BLC, u_BLD = self._read(x_BLD)
        query_BLD, key_BLD, value_BLD = qkv_BLC.chunk(3, -1)
        query_BH1K = self._heads(last_event(query_BLD, length_B)[:, None])
        score_BH1L = query_BH1K @ self._heads(key_BLD).transpose(2, 3) + to_last(self.bias_HL, length_B)[:, :, None]
        at_L = torch.arange(x_BLD.shape[1], device=x_BLD.device)
        unseen_B11L = (at_L >= length_B[:, None])[:, None, None]
        mixed_BH1K = self._weight(score_BH1L, unseen_B11L) @ self._heads(value_BLD)
        return self._rest(last_event(x_BLD, length_B), mixed_BH1K.flatten(1), last_event(u_BLD, length_B))

    def _read(self, x_MD: Tensor) -> tuple[Tensor, Tensor]:
        """Queries, keys and values, [M, 3 D]; and the gate u."""
        qkv_MC, u_MD = torch.split(functional.silu(self.read(self.norm1(x_MD))), [3 * self.dim, self.dim], -1)
        return qkv_MC, u_MD

    def _mix(self, qkv_blC: Tensor, bias_HLL: Tensor) -> Tensor:
        width = qkv_blC.shape[1]
        query, key, value = (self._heads(part) for part in qkv_blC.chunk(3, -1))
        score_bHll = query @ key.transpose(2, 3) + bias_HLL[:, :width, :width]
        mixed_bHlK = self._weight(score_bHll, later(width, qkv_blC.device)) @ value
        return mixed_bHlK.transpose(1, 2).flatten(2)

    def _weight(self, score: Tensor, unseen: Tensor) -> Tensor:
        return functional.silu(score).masked_fill(unseen, 0.0) / self.history_length

    def _heads(self, x_blD: Tensor) -> Tensor:
        return x_blD.view(*x_blD.shape[:-1], -1, self.head_dim).transpose(1, 2)

    def _rest(self, x_MD: Tensor, mixed_MD: Tensor, u_MD: Tensor) -> Tensor:
        out_MD: Tensor = x_MD + self.dropout(self.out(self.norm2(mixed_MD) * u_MD))
        return out_MD
