"""Dropout (Srivastava et al. 2014) with a mask that is cheap on a CPU."""

import torch
from torch import Tensor, nn
from torch.nn import functional

_LEVELS = 1 << 16


class Dropout(nn.Dropout):
    """`nn.Dropout` with a rate that is rounded to 1 / 65,536 on a CPU.

    On a CPU, torch draws one double per element sequentially, which takes an eighth of a transformer's training time on
    one core. Here one 64-bit draw serves four elements. Other devices and evaluation use torch's implementation.
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
