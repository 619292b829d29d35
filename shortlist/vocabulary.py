"""Ids and words to rows and back, in memory-mapped sorted arrays.

Row 0 stands for everything unknown; key `i` of the sorted array has row `i + 1`. A look-up is a binary search,
so a vocabulary of millions costs no memory and opens at once.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

UNKNOWN = 0
MAX_KEY_BYTES = 256
_NO_KEY = b"\xff"
_NUMBER = re.compile(r"-?[0-9]{1,19}")


class Vocabulary:
    """Sorted unique keys, either int64 or UTF-8 bytes (`S`)."""

    def __init__(self, keys: NDArray[Any]) -> None:
        assert keys.ndim == 1
        assert keys.dtype == np.int64 or keys.dtype.kind == "S", keys.dtype
        self.keys = keys

    @classmethod
    def of(cls, values: NDArray[Any]) -> "Vocabulary":
        """The vocabulary of int64 or string values, in any order and with repetitions."""
        return cls(np.unique(_encode(values, integers=values.dtype.kind in "iu")))

    @classmethod
    def open(cls, path: Path) -> "Vocabulary":
        return cls(np.load(path, mmap_mode="r").view(np.ndarray))

    def save(self, path: Path) -> None:
        np.save(path, self.keys)

    @property
    def integers(self) -> bool:
        return self.keys.dtype == np.int64

    @property
    def num_rows(self) -> int:
        """Keys and the unknown row."""
        return len(self.keys) + 1

    def rows(self, values: NDArray[Any] | Sequence[str | int]) -> NDArray[np.int64]:
        """Row of each value, 0 where it is unknown; numbers given as text are found, and the reverse."""
        keys = _encode(_array(values), self.integers)
        if len(self.keys) == 0 or keys.size == 0:
            return np.zeros(keys.shape, np.int64)
        known = np.ones(keys.shape, bool)
        if keys.dtype.itemsize > self.keys.dtype.itemsize:
            # A search for longer words would copy all keys to their width; such a word is no key anyhow.
            known = np.strings.str_len(keys) <= self.keys.dtype.itemsize
            keys = keys.astype(self.keys.dtype)
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(known & (self.keys[at] == keys), at + 1, UNKNOWN)

    def values(self, rows: NDArray[np.int64]) -> list[Any]:
        """The key of each row; None for the unknown row."""
        found = self.keys[np.maximum(rows, 1) - 1]
        plain = found.tolist() if self.integers else [key.decode() for key in found.tolist()]
        return [value if row else None for value, row in zip(plain, rows.tolist(), strict=True)]


def _array(values: NDArray[Any] | Sequence[str | int]) -> NDArray[Any]:
    """Values of a request as they are: numpy would give each text the width of the longest."""
    if isinstance(values, np.ndarray):
        return values
    plain = all(type(value) is int for value in values)
    return np.array(values, dtype=None if plain and len(values) else object)


def _encode(values: NDArray[Any], integers: bool) -> NDArray[Any]:
    if integers:
        if values.dtype.kind in "iub" and values.dtype != np.uint64:
            return values.astype(np.int64, copy=False)
        return np.array([_integer(value) for value in values.ravel().tolist()], np.int64).reshape(values.shape)
    if values.dtype.kind == "S":
        return values
    if values.size == 0:
        return values.astype("S1")
    words = [str(value).encode("utf-8", "surrogatepass") for value in values.ravel().tolist()]
    # No key is that long, and none holds a NUL, which numpy would strip from the end of a word.
    words = [_NO_KEY if len(word) > MAX_KEY_BYTES or b"\0" in word else word for word in words]
    return np.array(words, np.bytes_).reshape(values.shape)


def _integer(value: Any) -> int:
    """The number that a JSON value means; what cannot be one finds no key."""
    nothing = -(2**63)
    if isinstance(value, float) and not value.is_integer():
        return nothing
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        return nothing
    try:
        number = int(value)
        return number if -(2**63) < number < 2**63 else nothing
    except (TypeError, ValueError, OverflowError):
        return nothing
