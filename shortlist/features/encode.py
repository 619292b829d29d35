"""Encodes raw values of a column or a request as rows and numbers.

Shapes: E examples (queries), W values of a categorical field.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from shortlist.data.categories import Kind, canonical
from shortlist.features.schema import TableSchema
from shortlist.features.vocabulary import Vocabulary

_LARGEST = 1e6
"""Standardised numbers are clipped here: no plausible value is this large, and an extreme one must not overflow to
infinity in float32."""


def encode_categorical(
    values: Sequence[Any] | NDArray[Any], vocabulary: Vocabulary, max_values: int, kind: Kind | None = None
) -> NDArray[np.int64]:
    """Rows [E, max_values] of raw values; of a list the first values are read, and 0 pads."""
    lists = [value if isinstance(value, list | tuple | np.ndarray) else [value] for value in values]
    keys = [[key_of(value, vocabulary, kind) for value in list(one)[:max_values]] for one in lists]
    flat = [key for one in keys for key in one if key is not None]
    length = np.array([sum(key is not None for key in one) for one in keys], np.int64)
    rows = np.zeros((len(lists), max_values), np.int64)
    rows[np.arange(max_values) < length[:, None]] = vocabulary.rows(flat)
    return rows


def key_of(value: Any, vocabulary: Vocabulary, kind: Kind | None) -> Any:
    """The vocabulary key of a raw value; without a `kind`, the key that older stores used."""
    if kind is not None:
        return canonical(value, kind)
    if isinstance(value, bool | float) and not vocabulary.integers:
        return str(value)
    return int(value) if isinstance(value, bool) else value


def encode_numeric(columns: Sequence[Any], schema: TableSchema, count: int) -> NDArray[np.float32]:
    """Standardised numbers and their missing flags, [count, 2 * num_columns]; a missing value becomes the mean, 0."""
    out = np.zeros((count, schema.numeric_dim), np.float32)
    for i, (values, field) in enumerate(zip(columns, schema.numeric, strict=True)):
        numbers = np.asarray(values, np.float64)
        missing = ~np.isfinite(numbers)
        standard = (np.where(missing, field.mean, numbers) - field.mean) / field.std
        out[:, 2 * i] = np.clip(standard, -_LARGEST, _LARGEST)
        out[:, 2 * i + 1] = missing
    return out


def encode_clock(time_E: NDArray[np.int64], unit: Literal["hour", "weekday"]) -> NDArray[np.int64]:
    """Row [E, 1] of the hour (1 to 24) or the weekday (1 Monday to 7 Sunday) of seconds since the epoch, UTC."""
    if unit == "hour":
        return (time_E // 3600 % 24 + 1)[:, None]
    return ((time_E // 86_400 + 3) % 7 + 1)[:, None]
