"""The items that a search may return: those known to the towers and available at the time of the query.

    retrieval/known.npy   bool [num_item_rows]: whether the item was trained on or has a feature. All other items get
                          the vector of the unknown item, which has no information about them

Shapes: N item rows, I items (position p is item row p + 1), E queries, D width of vectors.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from shortlist.features.availability import Availability
from shortlist.features.item_mask import ItemMask

KNOWN = "known.npy"
_ANY_TIME = -1
KEPT = 8
"""Number of cached subsets. In serving, all current queries share one until the availability of an item changes."""

_Bitmap: Any = faiss.IDSelectorBitmap  # the stub declares the C++ constructor, this one takes an array


@dataclass(frozen=True, eq=False)
class Subset:
    """The positions that may be returned."""

    there_I: NDArray[np.bool_]

    @cached_property
    def count(self) -> int:
        return int(np.count_nonzero(self.there_I))

    @property
    def whole(self) -> bool:
        """Whether the subset is the whole catalogue."""
        return self.count == len(self.there_I)

    @cached_property
    def positions(self) -> NDArray[np.int64]:
        return np.flatnonzero(self.there_I)

    def selector(self, without: NDArray[np.int64] | None = None) -> Any:
        """A FAISS selector of these positions, except those in `without`."""
        bits = self._bits
        if without is not None:
            bits = bits.copy()
            np.bitwise_and.at(bits, without >> 3, ~(1 << (without & 7)).astype(np.uint8))
        return _Bitmap(bits)

    @cached_property
    def _bits(self) -> NDArray[np.uint8]:
        return np.packbits(self.there_I, bitorder="little")


class Candidates:
    """The subset of the catalogue at any time. Safe to use from several threads."""

    def __init__(self, known_N: NDArray[np.bool_], available: Availability) -> None:
        self.available = available
        self._known_I = known_N[1:]
        self._always = Subset(self._known_I)
        self._at = lru_cache(KEPT)(self._subset)
        self._masked = lru_cache(KEPT)(self._subset_of)

    @classmethod
    def open(cls, retrieval: Path, available: Availability) -> "Candidates":
        """Open the candidates of an exported tower; exports of older versions without the file know all items.

        Raises ValueError when the file is broken or of another catalogue.
        """
        path, num_rows = retrieval / KNOWN, len(available.from_N)
        if not path.exists():
            return cls(np.ones(num_rows, np.bool_), available)
        try:
            known_N = np.load(path, allow_pickle=False)
        except (EOFError, ValueError, OSError) as error:
            raise ValueError(f"{path}: the file is not an array ({error}); export the towers again") from None
        if known_N.shape != (num_rows,) or known_N.dtype != np.bool_:
            raise ValueError(
                f"{path}: the array is {known_N.dtype} {known_N.shape}, but the features have {num_rows} item rows"
            )
        return cls(known_N, available)

    def over(self, available: Availability) -> "Candidates":
        """The same items with another availability; no cached subset is shared."""
        return Candidates(np.append(False, self._known_I), available)

    def known(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which item rows are known to the towers; row 0 is not."""
        return np.asarray((rows > 0) & self._known_I[rows - 1])

    def groups(
        self, count: int, time_E: NDArray[np.int64] | None, masks: Sequence[ItemMask | None] = ()
    ) -> Iterator[tuple[NDArray[np.int64], Subset]]:
        """Group the queries by the subset that they may return; without times, all known items.

        `masks` has the mask of each query; None and an empty sequence allow all items.
        """
        stretch_E = np.full(count, _ANY_TIME) if time_E is None else self.available.stretch(time_E)
        if not any(mask is not None for mask in masks):
            for stretch in np.unique(stretch_E).tolist():
                yield np.flatnonzero(stretch_E == stretch), self._at(stretch)
            return
        groups: dict[tuple[int, ItemMask | None], list[int]] = {}
        for e, key in enumerate(zip(stretch_E.tolist(), masks, strict=True)):
            groups.setdefault(key, []).append(e)
        for (stretch, mask), at in groups.items():
            yield np.array(at), self._at(stretch) if mask is None else self._masked(stretch, mask)

    def _subset(self, stretch: int) -> Subset:
        if stretch == _ANY_TIME:
            return self._always
        return Subset(self._known_I & self.available.during(stretch)[1:])

    def _subset_of(self, stretch: int, mask: ItemMask) -> Subset:
        return Subset(self._at(stretch).there_I & mask.rows_N[1:])
