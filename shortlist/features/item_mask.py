"""A set of items that may be listed, from an expression or from ids.

It is separate from `where`, whose parser takes a tenth of a second to import: code that only passes masks on does not
need it.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

MAX_LENGTH = 2_000
"""Maximum length of an expression in characters."""

Mask = NDArray[np.bool_]


class WhereError(ValueError):
    """An expression that cannot be applied; the message says what is wrong and what is allowed."""


@dataclass(frozen=True, eq=False)
class ItemMask:
    """Items that may be listed. Masks are compared by identity, so that searches can use them as cache keys."""

    rows_N: Mask
    """Row 0 is False."""
    text: str = field(default="", compare=False)
    """The expression that the mask was made from."""

    @cached_property
    def count(self) -> int:
        return int(np.count_nonzero(self.rows_N))
