"""Columns of Polars tables to vocabulary rows: the bulk counterpart of `features.encode_categorical`."""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.categories import Kind
from shortlist.data.category_columns import keys_of, kind_of
from shortlist.data.keys import MAX_KEY_BYTES
from shortlist.features.vocabulary import UNKNOWN, Vocabulary

_LOOKUP_LIMIT = 1 << 25
"""Integers that span fewer values than this are looked up in a plain array."""
_PIECE = 1 << 18


def common_key_type(column: str, *dtypes: pl.DataType) -> pl.DataType:
    """The one type for the ids of columns that meet in one vocabulary: text unless all are integers.

    Raises ValueError for fractions and for nested types, which are no ids.
    """
    kinds = {kind_of(dtype, column) for dtype in dtypes}
    if not kinds <= {"integer", "text"}:
        raise ValueError(f"{column}: columns of {', '.join(map(str, dtypes))} are no ids; they are integers or text")
    return pl.Int64() if kinds == {"integer"} else pl.String()


def values_of(column: str, dtype: pl.DataType, max_values: int) -> pl.Expr:
    """The values of a column that count, one a row: of a list its first `max_values`."""
    expr = pl.col(column)
    if _is_list(dtype):
        expr = _as_list(expr, dtype).list.head(max_values).explode(keep_nulls=False, empty_as_null=False)
    return expr.drop_nulls()


def vocabulary_of(values: pl.Series, column: str) -> Vocabulary:
    """The vocabulary of Int64 or String values. Raises ValueError for a word too long or with a NUL character."""
    values = values.drop_nulls()
    if values.dtype == pl.Int64:
        return Vocabulary(_distinct(values))
    keys = values.unique().sort()
    longest = int(keys.str.len_bytes().to_numpy().max(initial=1))
    if longest > MAX_KEY_BYTES:
        worst = keys.filter(keys.str.len_bytes() > MAX_KEY_BYTES)[0]
        raise ValueError(f"{column}: {worst[:40]!r}... has {longest} bytes; ids and words have at most {MAX_KEY_BYTES}")
    if keys.str.contains("\0", literal=True).any():
        raise ValueError(f"{column}: a value holds a NUL character; remove it in the source's columns")
    return Vocabulary(np.array(keys.cast(pl.Binary).to_list(), np.dtype(f"S{longest}")))


def rows_of(values: pl.Series, vocabulary: Vocabulary) -> NDArray[np.int32]:
    """Row of each value, int32 [n]; 0 where it is null or unknown."""
    if len(vocabulary.keys) == 0 or len(values) == 0:
        return np.zeros(len(values), np.int32)
    if vocabulary.integers:
        numbers = values.cast(pl.Int64)
        low, high = int(vocabulary.keys[0]), int(vocabulary.keys[-1])
        if high - low < _LOOKUP_LIMIT:
            return _look_up(numbers, vocabulary.keys, low, high)
        keys = pl.Series("key", np.asarray(vocabulary.keys))
    else:
        numbers = values.cast(pl.String)
        keys = pl.Series("key", vocabulary.keys.tolist(), dtype=pl.Binary).cast(pl.String)
    row = pl.Series("row", np.arange(1, vocabulary.num_rows, dtype=np.int32))
    found = pl.DataFrame({"key": numbers}).join(
        pl.DataFrame({"key": keys, "row": row}), on="key", how="left", maintain_order="left"
    )
    return found["row"].fill_null(0).to_numpy()


def encode_column(values: pl.Series, vocabulary: Vocabulary, max_values: int, kind: Kind) -> NDArray[np.int32]:
    """Rows [n, max_values]: of a list its first values, nulls left out, 0 fills up."""
    if not _is_list(values.dtype):
        rows = np.zeros((len(values), max_values), np.int32)
        rows[:, 0] = rows_of(keys_of(values, kind), vocabulary)
        return rows
    lists = values.arr.to_list() if isinstance(values.dtype, pl.Array) else values
    lists = lists.list.head(max_values)
    flat = lists.explode(keep_nulls=False, empty_as_null=False)
    if flat.null_count():
        lists = lists.list.drop_nulls()
        flat = flat.drop_nulls()
    length = lists.list.len().fill_null(0).to_numpy()
    rows = np.zeros((len(values), max_values), np.int32)
    rows[np.arange(max_values) < length[:, None]] = rows_of(keys_of(flat, kind), vocabulary)
    return rows


def numbers_of(values: pl.Series, column: str) -> NDArray[np.float64]:
    """A numeric column as float64 [n], NaN where it is null. Raises ValueError for a column of another type."""
    if not (values.dtype.is_numeric() or values.dtype in (pl.Boolean, pl.Null)):
        raise ValueError(f"{column}: a column of {values.dtype} is not numeric; list it under categorical, or cast it")
    return values.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _distinct(numbers: pl.Series) -> NDArray[np.int64]:
    """Sorted distinct integers; those of a narrow range by ticking them off."""
    if len(numbers) == 0:
        return np.zeros(0, np.int64)
    plain = numbers.to_numpy()
    low, high = int(plain.min()), int(plain.max())
    if high - low >= _LOOKUP_LIMIT:
        return numbers.unique().sort().to_numpy()
    met = np.zeros(high - low + 1, np.bool_)
    for start in range(0, len(plain), _PIECE):
        met[plain[start : start + _PIECE] - low] = True
    return np.flatnonzero(met) + low


def _look_up(numbers: pl.Series, keys: NDArray[Any], low: int, high: int) -> NDArray[np.int32]:
    """Rows by an array that holds the row of every integer from `low` to `high`, and 0 in its last place."""
    table = np.zeros(high - low + 2, np.int32)
    table[np.asarray(keys) - low] = np.arange(1, len(keys) + 1, dtype=np.int32)
    whole = numbers.null_count() == 0
    plain = numbers.to_numpy() if whole else numbers.fill_null(low).to_numpy()
    inside = int(plain.min()) >= low and int(plain.max()) <= high
    rows = np.empty(len(plain), np.int32)
    # Piece by piece: what stands between is then never written to memory.
    for start in range(0, len(plain), _PIECE):
        piece = plain[start : start + _PIECE]
        at = piece - low if inside else np.where((piece < low) | (piece > high), high + 1, piece) - low
        table.take(at, out=rows[start : start + _PIECE], mode="clip")
    if not whole:
        rows[numbers.is_null().to_numpy()] = UNKNOWN
    return rows


def _is_list(dtype: pl.DataType) -> bool:
    return isinstance(dtype, pl.List | pl.Array)


def _as_list(expr: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    return expr.arr.to_list() if isinstance(dtype, pl.Array) else expr
