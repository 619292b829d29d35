"""The cross network of DCN-v2 (Wang et al., "DCN V2", WWW 2021, arXiv 2008.13535).

Shapes: any leading axes, then d, the width of the input; r is the rank of a layer's weight.
"""

import torch
from torch import Tensor, nn


class CrossLayer(nn.Module):
    """One explicit crossing, equation 1: `x' = x0 * (W x + b) + x`, with `*` elementwise.

    With `rank` r > 0 the weight is `W = U V^T` (equation 2), two matrices [d, r]: d^2 multiplications become 2dr.
    """

    def __init__(self, dim: int, rank: int) -> None:
        super().__init__()
        self.reduce = nn.Linear(dim, rank, bias=False) if rank else nn.Identity()
        """V^T."""
        self.cross = nn.Linear(rank or dim, dim)
        """U and b; W and b where the rank is full."""
        for layer in (self.reduce, self.cross):
            if isinstance(layer, nn.Linear):
                nn.init.xavier_normal_(layer.weight)
        nn.init.zeros_(self.cross.bias)

    def forward(self, x0: Tensor, x: Tensor) -> Tensor:
        """`x0` is the network's input and `x` the layer's, both [..., d]; gives [..., d]."""
        return torch.addcmul(x, x0, self.cross(self.reduce(x)))


class CrossNetwork(nn.Module):
    """`num_layers` crossings one after the other: polynomials of the inputs up to degree `num_layers` + 1."""

    def __init__(self, dim: int, num_layers: int, rank: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(CrossLayer(dim, rank) for _ in range(num_layers))

    def forward(self, x0: Tensor) -> Tensor:
        """`x0` [..., d]; gives [..., d]."""
        x = x0
        for layer in self.layers:
            x = layer(x0, x)
        return x
