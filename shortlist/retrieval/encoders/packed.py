"""Packed histories: concatenated, without padding between them.

Shapes: B histories, T events of all of them, S events of all rectangles, b histories of a rectangle of width l,
C channels, D width.

Operations on single events (projections, norms, gates, the loss) run on the T events. Only operations between events of
one history need padded rectangles: `Packed.within` puts histories of similar length into one. After the end of a
shorter history, its row has the events that follow in memory: they come after all of its own, so a causal function
never reads them, and their outputs are discarded. Each row of a rectangle is filled to at least `_FILL`, and histories
are never mixed.

Flash attention over lengths (`torch.nn.attention.varlen`) would need no padding, but exists only for CUDA in half
precision; nested tensors pad on a CPU. This layout works equally on both, for any causal function.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shortlist.ragged import places
from shortlist.retrieval.transfer import to_device

_FILL = 0.7
_SHORT = 8
"""Histories up to this length share a rectangle: a kernel for each length would cost more than their padding."""


@dataclass(frozen=True)
class Packed:
    """The layout of B histories among T events."""

    position_T: Tensor
    """Position of each event in its own history, from 0."""
    event_S: Tensor
    """The event in each cell of the concatenated rectangles, row by row."""
    cell_T: Tensor
    """The cell of each event."""
    rectangles: tuple[tuple[int, int], ...]
    """Number of histories and width of each rectangle."""

    @classmethod
    def of(cls, length_B: NDArray[np.int64], *, fill: float = _FILL) -> "Packed":
        """The layout of histories of these lengths; a history without events takes no space."""
        first_B = np.cumsum(length_B) - length_B
        total = int(length_B.sum())
        position_T = places(length_B)
        # Longest first: a rectangle is a run of histories that fill enough of its first row.
        order = np.argsort(-length_B, kind="stable")[: int((length_B > 0).sum())]
        falling = length_B[order]
        cell_T, events, rectangles = np.empty(total, np.int64), [np.zeros(0, np.int64)], []
        start, cells = 0, 0
        while start < len(order):
            width = int(falling[start])
            least = 0 if width <= _SHORT else fill * width
            stop = start + int(np.searchsorted(-falling[start:], -least, side="right"))
            chosen = order[start:stop]
            inside_l = np.arange(width)
            event_bl = first_B[chosen][:, None] + inside_l
            own_bl = inside_l < length_B[chosen][:, None]
            cell_T[event_bl[own_bl]] = cells + np.flatnonzero(own_bl)
            events.append(np.minimum(event_bl, total - 1).ravel())
            rectangles.append((stop - start, width))
            start, cells = stop, cells + event_bl.size
        return cls(
            torch.from_numpy(position_T),
            torch.from_numpy(np.concatenate(events)),
            torch.from_numpy(cell_T),
            tuple(rectangles),
        )

    def to(self, device: torch.device) -> "Packed":
        """The same layout on a device."""
        position_T, event_S, cell_T = (to_device(device, one) for one in (self.position_T, self.event_S, self.cell_T))
        return Packed(position_T, event_S, cell_T, self.rectangles)

    @property
    def width(self) -> int:
        """Length of the longest history."""
        return max((width for _, width in self.rectangles), default=0)

    def within(self, x_TC: Tensor, causal: Callable[[Tensor], Tensor]) -> Tensor:
        """`causal` applied to each history: it maps [b, l, C] to [b, l, D], and reads no later event of a row."""
        x_SC = x_TC.index_select(0, self.event_S)
        sizes = [number * width for number, width in self.rectangles]
        parts = [
            causal(part.view(number, width, -1)).flatten(0, 1)
            for part, (number, width) in zip(torch.split(x_SC, sizes), self.rectangles, strict=True)
        ]
        return torch.cat(parts).index_select(0, self.cell_T)
