"""Maps ids and words to rows and back, in memory-mapped sorted arrays.

Row 0 stands for everything unknown; key `i` of the sorted array has row `i + 1`. A look-up is a binary search,
so a vocabulary of millions of keys takes no memory and opens at once.

A number and its decimal digits are one key: 5, 5.0 and "5" match the key 5 among integers and the key "5" among words.
"05", "+5", "5.0" and " 5" are different words and match neither, nor do true and false. A double matches only when it
is a whole number below 2^53, since above that several integers share one double.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.data.keys import EXACT_IN_A_DOUBLE, MAX_KEY_BYTES

UNKNOWN = 0
_NO_KEY = b"\xff"
_NO_INTEGER = -(2**63)
_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,18}")


class Vocabulary:
    """Sorted unique keys, either int64 or UTF-8 bytes (`S`)."""

    def __init__(self, keys: NDArray[Any]) -> None:
        assert keys.ndim == 1
        assert keys.dtype == np.int64 or keys.dtype.kind == "S", keys.dtype
        self.keys = keys

    @classmethod
    def of(cls, values: NDArray[Any]) -> "Vocabulary":
        """The vocabulary of int64 or string values, which may be in any order and repeated."""
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
        """Number of keys, plus the unknown row."""
        return len(self.keys) + 1

    def rows(self, values: NDArray[Any] | Sequence[str | int]) -> NDArray[np.int64]:
        """The row of each value, 0 where it is unknown."""
        keys = _encode(_array(values), self.integers)
        if len(self.keys) == 0 or keys.size == 0:
            return np.zeros(keys.shape, np.int64)
        known = np.ones(keys.shape, bool)
        if keys.dtype.itemsize > self.keys.dtype.itemsize:
            # A search for longer words would copy all keys to their width, and such a word cannot be a key.
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
    """The unchanged values of a request: numpy would pad each text to the longest one and round large numbers."""
    if isinstance(values, np.ndarray):
        return values
    plain = all(type(value) is int and abs(value) < 2**63 for value in values)
    return np.array(values, dtype=np.int64 if plain and len(values) else object)


def _encode(values: NDArray[Any], integers: bool) -> NDArray[Any]:
    if integers:
        if values.dtype.kind in "iu" and values.dtype != np.uint64:
            return values.astype(np.int64, copy=False)
        return np.array([_integer(value) for value in values.ravel().tolist()], np.int64).reshape(values.shape)
    if values.dtype.kind == "S":
        return values
    if values.size == 0:
        return values.astype("S1")
    return np.array([_word(value) for value in values.ravel().tolist()], np.bytes_).reshape(values.shape)


def _integer(value: Any) -> int:
    """The integer that a value is or spells; any other value matches no key."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        value = int(value) if _NUMBER.fullmatch(value) else None
    number = _whole(value)
    return number if number is not None and abs(number) < 2**63 else _NO_INTEGER


def _word(value: Any) -> bytes:
    """The UTF-8 bytes of a text, or of the digits of a whole number; any other value matches no key."""
    text = value if isinstance(value, str) else _whole(value)
    word = _NO_KEY if text is None else str(text).encode("utf-8", "surrogatepass")
    # No key is longer than that or contains a NUL, which numpy would strip from the end of a word.
    return _NO_KEY if len(word) > MAX_KEY_BYTES or b"\0" in word else word


def _whole(value: Any) -> int | None:
    """The value of an int, or of a float that represents exactly one integer."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < EXACT_IN_A_DOUBLE else None
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if value.bit_length() < 8 * MAX_KEY_BYTES // 3 else None  # Python refuses to print longer ones
