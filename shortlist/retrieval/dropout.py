"""Dropout (Srivastava et al. 2014) whose mask costs a CPU little."""

import torch
from torch import Tensor, nn
from torch.nn import functional

_LEVELS = 1 << 16


class Dropout(nn.Dropout):
    """`nn.Dropout`, with a share that is rounded to 1 / 65,536 on a CPU.

    torch draws a double for every element there, one after the other: an eighth of a transformer's training on one
    core. One draw of 64 bits is four elements here. Other devices, and what is not training, are torch's own.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or x.device.type != "cpu":
            return functional.dropout(x, self.p, self.training)
        dropped = round(self.p * _LEVELS)
        if dropped in (0, _LEVELS):
            return functional.dropout(x, dropped / _LEVELS)
        drawn = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
        level = drawn.view(torch.int16)[: x.numel()].view(x.shape)
        keep = (level >= dropped - _LEVELS // 2).to(x.dtype)
        return x * keep.mul_(_LEVELS / (_LEVELS - dropped))
