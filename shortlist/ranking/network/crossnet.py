"""The cross network of DCN-v2 (Wang et al., "DCN V2", WWW 2021, arXiv 2008.13535).

Shapes: any leading axes, then d, the width of the input; r is the rank of a layer's weight, X its number of experts.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class CrossLayer(nn.Module):
    """One explicit crossing, equation 1: `x' = x0 * (W x + b) + x`, with `*` elementwise.

    With `rank` r > 0 the weight is `W = U V^T` (equation 2), two matrices [d, r]: d^2 multiplications become 2dr.
    """

    def __init__(self, dim: int, rank: int) -> None:
        super().__init__()
        self.reduce = nn.Linear(dim, rank, bias=False) if rank else nn.Identity()
        """V^T."""
        self.cross = nn.Linear(rank or dim, dim)
        """U and b; W and b if the rank is full."""
        for layer in (self.reduce, self.cross):
            if isinstance(layer, nn.Linear):
                nn.init.xavier_normal_(layer.weight)
        nn.init.zeros_(self.cross.bias)

    def forward(self, x0: Tensor, x: Tensor) -> Tensor:
        """`x0` is the network's input and `x` the layer's input, both [..., d]; returns [..., d]."""
        return torch.addcmul(x, x0, self.cross(self.reduce(x)))


class CrossMixture(nn.Module):
    """A crossing by X low-rank experts, each in its own subspace (equation 3):

    `x' = sum_i G_i(x) * x0 * (U_i g(C_i g(V_i^T x)) + b) + x`, with the gates G a softmax and g the tanh.
    """

    def __init__(self, dim: int, rank: int, num_experts: int) -> None:
        super().__init__()
        self.reduce = nn.Linear(dim, num_experts * rank, bias=False)
        """V^T of all experts, stacked vertically."""
        self.inside_XRR = nn.Parameter(torch.empty(num_experts, rank, rank))
        """C of each expert."""
        self.expand = nn.Linear(num_experts * rank, dim, bias=False)
        """U of all experts, stacked horizontally."""
        self.bias = nn.Parameter(torch.zeros(dim))
        self.gate = nn.Linear(dim, num_experts)
        for weight in (self.reduce.weight, self.expand.weight):
            nn.init.xavier_normal_(weight)
        for matrix in self.inside_XRR:
            nn.init.xavier_normal_(matrix)
        self._num_experts = num_experts

    def forward(self, x0: Tensor, x: Tensor) -> Tensor:
        """`x0` is the network's input and `x` the layer's input, both [..., d]; returns [..., d]."""
        gate_X = functional.softmax(self.gate(x), dim=-1)
        low_XR = torch.tanh(self.reduce(x)).reshape(*x.shape[:-1], self._num_experts, -1)
        low_XR = torch.tanh(torch.einsum("...xr,xsr->...xs", low_XR, self.inside_XRR))
        # The gates sum to 1, so weighting the low-rank vector of each expert weights everything but the shared b.
        crossed = self.expand((low_XR * gate_X[..., None]).flatten(-2)) + self.bias
        return torch.addcmul(x, x0, crossed)


class CrossNetwork(nn.Module):
    """`num_layers` crossings in sequence: polynomials of the inputs up to degree `num_layers` + 1.

    With one expert, a layer is a `CrossLayer`, which has neither tanh nor C and is not a special case of the mixture.
    """

    def __init__(self, dim: int, num_layers: int, rank: int, num_experts: int = 1) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            CrossMixture(dim, rank, num_experts) if num_experts > 1 else CrossLayer(dim, rank)
            for _ in range(num_layers)
        )

    def forward(self, x0: Tensor) -> Tensor:
        """`x0` [..., d]; returns [..., d]."""
        x = x0
        for layer in self.layers:
            x = layer(x0, x)
        return x
