"""The interface of the encoders.

Shapes: B histories, L events of each (left-aligned, arbitrary values after the end), T events of all histories
concatenated, D width, H heads, K width of a head.

`encoder(history_TD, packed) -> state_TD` is for training: the state at an event depends only on that event and earlier
events of the same history, so that one pass gives an example at every position.
`encoder.last(history_BLD, length_B) -> state_BD` is the state at the last event only, at a much lower cost; it is used
in serving. A history of length 0 has no state: the query tower uses a learned vector instead.
"""

from torch import Tensor, nn

from shortlist.retrieval.encoders.packed import Packed


class Encoder(nn.Module):
    """The causal interface."""

    num_states = 1
    """How many states of width D are concatenated."""

    def forward(self, history_TD: Tensor, packed: Packed) -> Tensor:
        """The state at every event, [T, num_states * D]."""
        raise NotImplementedError

    def last(self, history_BLD: Tensor, length_B: Tensor) -> Tensor:
        """The state at event `length - 1`, [B, num_states * D]; undefined if the length is 0."""
        raise NotImplementedError


def last_event(x_BLD: Tensor, length_B: Tensor) -> Tensor:
    """`x_BLD[b, length_b - 1]`, [B, D]; the first event if the length is 0."""
    at_B11 = (length_B - 1).clamp_min(0)[:, None, None]
    return x_BLD.gather(1, at_B11.expand(-1, 1, x_BLD.shape[2]))[:, 0]


def head_width(dim: int, heads: int, multiple: int) -> int:
    """Width of a head. Raises ValueError, with a valid width, if it is not a multiple of `multiple`."""
    if dim % (multiple * heads):
        unit = multiple * heads
        raise ValueError(
            f"retrieval.dim {dim} cannot be split into retrieval.heads {heads}"
            f"{' of even width' if multiple == 2 else ''}, which this encoder needs; "
            f"{unit * max(1, round(dim / unit))} can"
        )
    return dim // heads
