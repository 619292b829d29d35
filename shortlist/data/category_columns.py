"""Categorical Polars columns: their kinds, and `categories.canonical` for all values."""

import polars as pl

from shortlist.data.categories import Kind, canonical


def kind_of(dtype: pl.DataType, column: str) -> Kind:
    """The kind of a column of this type, or of lists of it. Raises ValueError for types without ids or words."""
    inner = inner_of(dtype)
    if inner == pl.Boolean:
        return "boolean"
    if inner == pl.Null or (inner.is_integer() and inner not in (pl.UInt64, pl.Int128, pl.UInt128)):
        return "integer"
    if inner.is_numeric():
        return "number"
    if inner.is_nested() or inner in (pl.Binary, pl.Object):
        raise ValueError(
            f"{column}: a column of {dtype} has no ids or words; convert it to text or numbers in the source's columns"
        )
    return "text"


def key_type(kind: Kind) -> pl.DataType:
    """The type of the keys in a vocabulary of this kind."""
    return pl.Int64() if kind in ("integer", "boolean") else pl.String()


def keys_of(values: pl.Series, kind: Kind) -> pl.Series:
    """`canonical` of all values of a flat column of that kind, Int64 or String."""
    if kind == "number" or (kind == "text" and values.dtype.is_numeric()):
        different = values.drop_nulls().unique()
        # As text: the shortest text of a Float32, and all digits of a decimal.
        spelt = [canonical(text, "number") for text in different.cast(pl.String).to_list()]
        if values.dtype.is_float():
            spelt = [text if ok else None for text, ok in zip(spelt, different.is_finite(), strict=True)]
        return values.replace_strict(different, pl.Series(spelt, dtype=pl.String), default=None, return_dtype=pl.String)
    return values.cast(key_type(kind))


def inner_of(dtype: pl.DataType) -> pl.DataType:
    """The type of a list's values, or the type itself."""
    if isinstance(dtype, pl.List | pl.Array):
        inner = dtype.inner
        assert isinstance(inner, pl.DataType)
        return inner
    return dtype
