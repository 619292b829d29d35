"""A set of items that may be listed, made by an expression or from ids.

Apart from `where`, whose parser takes a tenth of a second to import: what only carries masks does without it.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

MAX_LENGTH = 2_000
"""Characters of an expression."""

Mask = NDArray[np.bool_]


class WhereError(ValueError):
    """An expression that cannot be applied; the message says what is wrong in it, and what is allowed."""


@dataclass(frozen=True, eq=False)
class ItemMask:
    """Items that may be listed. Two masks are the same only if they are one object, so that searches can keep them."""

    rows_N: Mask
    """Row 0 is False."""
    text: str = field(default="", compare=False)
    """The expression it came from."""

    @cached_property
    def count(self) -> int:
        return int(np.count_nonzero(self.rows_N))
