"""Rotary positions (Su et al. 2021): attention depends on the distance between events, not on the start of the window.

A window of a long history is therefore equivalent to a short history.
"""

import torch
from torch import Tensor


def turns(at: Tensor, head_dim: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine of `at * 10000^(-2k/K)` for each pair k of a head's width K, [..., 1, K/2]: one for all heads."""
    half = head_dim // 2
    speed_K = 10_000.0 ** (-torch.arange(half, dtype=torch.float32, device=at.device) / half)
    angle = at[..., None, None].to(torch.float32) * speed_K
    return angle.cos(), angle.sin()


def rotate(x: Tensor, turned: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate each pair (k, k + K/2) of `x` [..., heads, K] by its angle."""
    half = x.shape[-1] // 2
    cos, sin = turned[0].to(x.dtype), turned[1].to(x.dtype)
    left, right = x[..., :half], x[..., half:]
    return torch.cat([left * cos - right * sin, right * cos + left * sin], dim=-1)
