"""The causal transformer.

Shapes: B histories, L events of each, T events of all of them concatenated, b histories of a rectangle of width l,
D width, H heads, K width of a head, F inner width; M stands for either T or [B, L].
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from shortlist.retrieval.dropout import Dropout
from shortlist.retrieval.encoders.encoder import Encoder, head_width, last_event
from shortlist.retrieval.encoders.packed import Packed
from shortlist.retrieval.encoders.rotary import rotate, turns


class TransformerEncoder(Encoder):
    """Pre-norm transformer (Xiong et al. 2020) with causal attention, as in SASRec (Kang & McAuley 2018).

    It has rotary positions and also dropout of the inputs. `gated` uses the block of LiGR (Borisyuk et al. 2025), which
    eSASRec (Tikhonovich et al. 2025) found to be better: each branch is gated by its input, and the feed-forward part
    is a SwiGLU (Shazeer 2020).
    """

    def __init__(self, dim: int, layers: int, heads: int, dropout: float, *, gated: bool) -> None:
        super().__init__()
        self.head_dim = head_width(dim, heads, multiple=2)
        self.dropout = Dropout(dropout)
        self.blocks = nn.ModuleList([Block(dim, self.head_dim, dropout, gated) for _ in range(layers)])
        self.norm = nn.LayerNorm(dim)

    def forward(self, history_TD: Tensor, packed: Packed) -> Tensor:
        x_TD = self.dropout(history_TD)
        turned = turns(packed.position_T, self.head_dim)
        for block in self.blocks:
            x_TD = block(x_TD, packed, turned)
        state_TD: Tensor = self.norm(x_TD)
        return state_TD

    def last(self, history_BLD: Tensor, length_B: Tensor) -> Tensor:
        x_BLD = self.dropout(history_BLD)
        turned = turns(torch.arange(x_BLD.shape[1], device=x_BLD.device), self.head_dim)
        *before, final = (block for block in self.blocks if isinstance(block, Block))
        for block in before:
            x_BLD = block.padded(x_BLD, turned)
        state_BD: Tensor = self.norm(final.last(x_BLD, length_B, turned))
        return state_BD


class Block(nn.Module):
    """x + gate * attention(norm(x)), then x + gate * mlp(norm(x)).

        gate = sigmoid(W norm(x)) if gated, else 1
        mlp(h) = W2 (silu(W1 h) * W3 h) with F = 8/3 D if gated, else W2 gelu(W1 h) with F = 4 D: as many weights

    Projections of the same input share a matrix: queries, keys, values and gate; both halves of the mlp and its gate.
    """

    def __init__(self, dim: int, head_dim: int, dropout: float, gated: bool) -> None:
        super().__init__()
        self.dim, self.head_dim, self.gated = dim, head_dim, gated
        self.inner = round(8 / 3 * dim) if gated else 4 * dim
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attend = nn.Linear(dim, (4 if gated else 3) * dim)
        self.attended = nn.Linear(dim, dim)
        self.widen = nn.Linear(dim, 2 * self.inner + dim if gated else self.inner)
        self.narrow = nn.Linear(self.inner, dim)
        self.dropout = Dropout(dropout)

    def forward(self, x_TD: Tensor, packed: Packed, turned: tuple[Tensor, Tensor]) -> Tensor:
        qkv_TC, gate_TD = self._read(x_TD, turned)
        return self._rest(x_TD, packed.within(qkv_TC, self._mix), gate_TD)

    def padded(self, x_BLD: Tensor, turned: tuple[Tensor, Tensor]) -> Tensor:
        """The same over padded histories, [B, L, D]."""
        qkv_BLC, gate_BLD = self._read(x_BLD, turned)
        return self._rest(x_BLD, self._mix(qkv_BLC), gate_BLD)

    def last(self, x_BLD: Tensor, length_B: Tensor, turned: tuple[Tensor, Tensor]) -> Tensor:
        """Output at event `length - 1` alone, [B, D]."""
        qkv_BLC, gate_BLD = self._read(x_BLD, turned)
        query_BLD, key_BLD, value_BLD = qkv_BLC.chunk(3, -1)
        query_BH1K = self._heads(last_event(query_BLD, length_B)[:, None])
        at_L = torch.arange(x_BLD.shape[1], device=x_BLD.device)
        seen_B11L = (at_L < length_B.clamp_min(1)[:, None])[:, None, None]
        mixed_BH1K = functional.scaled_dot_product_attention(
            query_BH1K, self._heads(key_BLD), self._heads(value_BLD), attn_mask=seen_B11L
        )
        gate_BD = None if gate_BLD is None else last_event(gate_BLD, length_B)
        return self._rest(last_event(x_BLD, length_B), mixed_BH1K.flatten(1), gate_BD)

    def _read(self, x_MD: Tensor, turned: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor | None]:
        """Queries, keys and values, the first two rotated, [M, 3 D]; and the gate."""
        widths = [2 * self.dim, self.dim, self.dim] if self.gated else [2 * self.dim, self.dim]
        query_key, value_MD, *gate = torch.split(self.attend(self.norm1(x_MD)), widths, -1)
        turned_MC = rotate(query_key.view(*query_key.shape[:-1], -1, self.head_dim), turned).flatten(-2)
        return torch.cat([turned_MC, value_MD], -1), gate[0] if gate else None

    def _mix(self, qkv_blC: Tensor) -> Tensor:
        query, key, value = (self._heads(part) for part in qkv_blC.chunk(3, -1))
        # Without dropout on the attention weights, which would disable fused attention.
        mixed_bHlK = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return mixed_bHlK.transpose(1, 2).flatten(2)

    def _heads(self, x_blD: Tensor) -> Tensor:
        return x_blD.view(*x_blD.shape[:-1], -1, self.head_dim).transpose(1, 2)

    def _rest(self, x_MD: Tensor, mixed_MD: Tensor, gate_MD: Tensor | None) -> Tensor:
        attended_MD = self.dropout(self.attended(mixed_MD))
        x_MD = x_MD + (attended_MD if gate_MD is None else attended_MD * gate_MD.sigmoid())
        wide = self.widen(self.norm2(x_MD))
        if not self.gated:
            plain_MD: Tensor = x_MD + self.dropout(self.narrow(functional.gelu(wide)))
            return plain_MD
        left_MF, right_MF, gate_MD = torch.split(wide, [self.inner, self.inner, self.dim], -1)
        gated_MD: Tensor = x_MD + self.dropout(self.narrow(functional.silu(left_MF) * right_MF)) * gate_MD.sigmoid()
        return gated_MD
