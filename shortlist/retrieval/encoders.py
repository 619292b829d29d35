"""How a query tower reads a history: three encoders over one causal interface.

Shapes: B histories, L events of each (from the left, anything after the end), D width, H heads, P state positions,
K width of a head.

`encoder(history_BLD) -> state_BLD`: state p knows the events 0..p and no later one, so one pass gives an example at
every position, and padding on the right needs no mask: nothing reads it but states past the end.
`encoder.last(history_BLD, length_B) -> state_BD` is the same state at the last event alone, for much less work; it is
what is served. A history of length 0 has no state: the query tower puts a learned vector there.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional


class Encoder(nn.Module):
    """The causal interface."""

    def forward(self, history_BLD: Tensor) -> Tensor:
        """States [B, L, D]."""
        raise NotImplementedError

    def last(self, history_BLD: Tensor, length_B: Tensor) -> Tensor:
        """The state at event `length - 1`, [B, D]; of any value where the length is 0."""
        raise NotImplementedError


def encoder_of(
    kind: Literal["mean", "attention", "transformer"],
    dim: int,
    *,
    history_length: int,
    layers: int,
    heads: int,
    dropout: float,
) -> Encoder:
    """The encoder that a recipe's `retrieval.encoder` names."""
    if kind == "mean":
        return MeanEncoder()
    if kind == "attention":
        return AttentionEncoder(dim, history_length, heads)
    return TransformerEncoder(dim, layers, heads, dropout)


def last_event(x_BLD: Tensor, length_B: Tensor) -> Tensor:
    """`x_BLD[b, length_b - 1]`, [B, D]; the first event where the length is 0."""
    at_B11 = (length_B - 1).clamp_min(0)[:, None, None]
    return x_BLD.gather(1, at_B11.expand(-1, 1, x_BLD.shape[2]))[:, 0]


class MeanEncoder(Encoder):
    """state_p = mean(x_0..x_p)."""

    def forward(self, history_BLD: Tensor) -> Tensor:
        count_L1 = torch.arange(1, history_BLD.shape[1] + 1, device=history_BLD.device)[:, None]
        return history_BLD.cumsum(1) / count_L1

    def last(self, history_BLD: Tensor, length_B: Tensor) -> Tensor:
        at_L = torch.arange(history_BLD.shape[1], device=history_BLD.device)
        share_BL = (at_L < length_B[:, None]).to(history_BLD.dtype) / length_B.clamp_min(1)[:, None]
        return (share_BL[:, None] @ history_BLD)[:, 0]


class AttentionEncoder(Encoder):
    """Multi-head attention of learned queries, by content and recency.

        weight_{p,j} = softmax over j <= p of  <u_h, x_j> + r_h[p - j],     state_p = W [sum_j weight_{p,j} x_j]_h

    `u_h` is the learned query of head h in the space of the keys, `r_h` a learned bias for every distance (like the
    relative bias of T5, Raffel et al. 2020), begun with the slopes of ALiBi (Press et al. 2022) so that heads look
    back differently far. Values are projected after the sum, which is the same by linearity and L times cheaper.
    """

    def __init__(self, dim: int, history_length: int, heads: int) -> None:
        super().__init__()
        self.score = nn.Linear(dim, heads, bias=False)
        slope_H = torch.cat([torch.zeros(1), 0.5 ** torch.arange(heads - 1, dtype=torch.float32)])
        self.recency_HL = nn.Parameter(-slope_H[:, None] * torch.arange(history_length))
        self.value = nn.Linear(heads * dim, dim, bias=False)
        with torch.no_grad():  # begins as the mean over the heads, in the space of the items
            self.value.weight.copy_(torch.eye(dim).repeat(1, heads) / heads)

    def forward(self, history_BLD: Tensor) -> Tensor:
        length = history_BLD.shape[1]
        score_BHL = self.score(history_BLD).transpose(1, 2)
        at_L = torch.arange(length, device=history_BLD.device)
        distance_PL = at_L[:, None] - at_L
        bias_HPL = self.recency_HL[:, distance_PL.clamp_min(0)]
        logits_BHPL = (score_BHL[:, :, None] + bias_HPL).masked_fill(distance_PL < 0, -torch.inf)
        pooled_BHPD = logits_BHPL.softmax(-1).to(history_BLD.dtype) @ history_BLD[:, None]
        state: Tensor = self.value(pooled_BHPD.transpose(1, 2).flatten(2))
        return state

    def last(self, history_BLD: Tensor, length_B: Tensor) -> Tensor:
        score_BHL = self.score(history_BLD).transpose(1, 2)
        at_L = torch.arange(history_BLD.shape[1], device=history_BLD.device)
        # An empty history reads its padding; its state is not used, and a softmax over nothing would be NaN.
        distance_BL = length_B.clamp_min(1)[:, None] - 1 - at_L
        at_BHL = distance_BL.clamp_min(0)[:, None].expand_as(score_BHL)
        bias_BHL = self.recency_HL.expand_as(score_BHL).gather(2, at_BHL)
        logits_BHL = (score_BHL + bias_BHL).masked_fill((distance_BL < 0)[:, None], -torch.inf)
        pooled_BHD = logits_BHL.softmax(-1).to(history_BLD.dtype) @ history_BLD
        state: Tensor = self.value(pooled_BHD.flatten(1))
        return state


class TransformerEncoder(Encoder):
    """Pre-norm transformer (Xiong et al. 2020) with causal attention, as in SASRec (Kang & McAuley 2018).

    Positions are rotary (Su et al. 2021): attention sees how far apart two events are and never where the window
    began, so a window cut from a long history means the same as a whole short one.
    """

    def __init__(self, dim: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        if dim % (2 * heads):
            raise ValueError(
                f"retrieval.dim {dim} does not divide into retrieval.heads {heads} of an even width, which the "
                f"transformer encoder needs; {2 * heads * max(1, round(dim / (2 * heads)))} would"
            )
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList([Block(dim, heads, dropout) for _ in range(layers)])
        self.norm = nn.LayerNorm(dim)

    def forward(self, history_BLD: Tensor) -> Tensor:
        x_BLD = self.dropout(history_BLD)
        for block in self.blocks:
            x_BLD = block(x_BLD)
        state: Tensor = self.norm(x_BLD)
        return state

    def last(self, history_BLD: Tensor, length_B: Tensor) -> Tensor:
        x_BLD = self.dropout(history_BLD)
        for block in self.blocks[:-1]:
            x_BLD = block(x_BLD)
        final = self.blocks[-1]
        assert isinstance(final, Block)
        state: Tensor = self.norm(final.last(x_BLD, length_B))
        return state


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.query, self.key_value = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim)
        self.out = nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.ReLU(), nn.Linear(4 * dim, dim))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BLD: Tensor) -> Tensor:
        h_BLD = self.norm1(x_BLD)
        at_L = torch.arange(x_BLD.shape[1], device=x_BLD.device)
        key, value = self._keys(h_BLD, at_L)
        query = rotate(self._split(self.query(h_BLD)), at_L)
        # Without dropout on the weights: it would turn the fused attention off.
        mixed_BHLK = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self._rest(x_BLD, mixed_BHLK)

    def last(self, x_BLD: Tensor, length_B: Tensor) -> Tensor:
        """Output at event `length - 1` alone, [B, D]."""
        h_BLD = self.norm1(x_BLD)
        at_L = torch.arange(x_BLD.shape[1], device=x_BLD.device)
        key, value = self._keys(h_BLD, at_L)
        final_B = (length_B - 1).clamp_min(0)
        query = rotate(self._split(self.query(last_event(h_BLD, length_B))[:, None]), final_B[:, None, None])
        seen_B11L = (at_L <= final_B[:, None])[:, None, None]
        mixed_BH1K = functional.scaled_dot_product_attention(query, key, value, attn_mask=seen_B11L)
        return self._rest(last_event(x_BLD, length_B)[:, None], mixed_BH1K)[:, 0]

    def _keys(self, h_BLD: Tensor, at_L: Tensor) -> tuple[Tensor, Tensor]:
        key_BLD, value_BLD = self.key_value(h_BLD).chunk(2, dim=-1)
        return rotate(self._split(key_BLD), at_L), self._split(value_BLD)

    def _split(self, x_BLD: Tensor) -> Tensor:
        return x_BLD.view(*x_BLD.shape[:2], self.heads, -1).transpose(1, 2)

    def _rest(self, x_BLD: Tensor, mixed_BHLK: Tensor) -> Tensor:
        x_BLD = x_BLD + self.dropout(self.out(mixed_BHLK.transpose(1, 2).flatten(2)))
        out: Tensor = x_BLD + self.dropout(self.mlp(self.norm2(x_BLD)))
        return out


def rotate(x_BHLK: Tensor, at: Tensor) -> Tensor:
    """Rotary positions: pair k of the width (k, k + K/2) turned by `at * 10000^(-2k/K)`; `at` is [L] or [B, 1, 1]."""
    half = x_BHLK.shape[-1] // 2
    speed_K = 10_000.0 ** (-torch.arange(half, dtype=torch.float32, device=x_BHLK.device) / half)
    angle = at[..., None].to(torch.float32) * speed_K
    cos, sin = angle.cos().to(x_BHLK.dtype), angle.sin().to(x_BHLK.dtype)
    left, right = x_BHLK[..., :half], x_BHLK[..., half:]
    return torch.cat([left * cos - right * sin, right * cos + left * sin], dim=-1)
