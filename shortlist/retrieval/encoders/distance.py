"""Learned weights by the distance between two events."""

import torch
from torch import Tensor
from torch.nn import functional


def by_distance(weight_HL: Tensor, width: int) -> Tensor:
    """`weight_HL[h, p - j]` at [h, p, j] for j <= p, and 0 for later events; [H, width, width].

    Row p is a window of the reversed weights, so the gradient is a sum along diagonals instead of a scatter.
    """
    reversed_HV = functional.pad(weight_HL[:, :width].flip(1), (0, width - 1))
    return reversed_HV.unfold(1, width, 1).flip(1)


def to_last(weight_HL: Tensor, length_B: Tensor) -> Tensor:
    """`weight_HL[h, length_b - 1 - j]` at [b, h, j] for j < length_b, and weight 0 for later events; [B, H, L]."""
    count, (heads, length) = length_B.shape[0], weight_HL.shape
    distance_BL = (length_B[:, None] - 1 - torch.arange(length, device=weight_HL.device)).clamp_min(0)
    return weight_HL.expand(count, -1, -1).gather(2, distance_BL[:, None].expand(-1, heads, -1))


def later(width: int, device: torch.device) -> Tensor:
    """Whether event j comes after event p, at [p, j]; bool [width, width]."""
    return torch.ones(width, width, dtype=torch.bool, device=device).triu(1)
