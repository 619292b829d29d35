"""The types of CSV columns, inferred from all rows: a column becomes numeric only if the conversion is reversible.

`12E4` and `120000` are the same number but two ids, as are `007` and `7`. A column stays text if a number has more than
one text in it, or if it has text that is not a number (`nan`, `n/a`); the recipe can declare `types` and `nulls`.
"""

from collections.abc import Collection
from typing import Literal

import polars as pl

Numeric = Literal["integer", "number", "boolean"]

INTEGER = r"^(?:0|-?[1-9][0-9]{0,17})$"
"""Up to 18 digits, in the form in which a 64-bit number is written."""
_DECIMAL = r"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:e-[0-9]+)?$"
_NEGATIVE_ZERO = r"^-0(?:\.0+)?(?:e|$)"
_TRAILING_ZERO = r"\.[0-9]*0(?:e|$)"
_SHORT = 16
"""A point and 15 digits, which a double always preserves."""
_ORDER: tuple[Numeric, ...] = ("integer", "number", "boolean")
_HEAD = 1_000


def typed(frame: pl.LazyFrame, declared: Collection[str] = ()) -> pl.LazyFrame:
    """Convert text columns to Int64, Float64 or Boolean if all values allow it; `declared` columns are unchanged.

    The first rows give the candidate types, which are then checked in mostly one streamed pass over all rows.
    """
    # Column -> the position in `_ORDER` of its candidate type.
    undecided = {name: 0 for name, dtype in frame.collect_schema().items() if dtype == pl.String}
    undecided = {name: at for name, at in undecided.items() if name not in declared}
    decided: dict[str, Numeric] = {}
    head = frame.head(_HEAD).collect().lazy()
    while undecided:
        while refuted := _refuted(head, undecided):
            undecided = _next(undecided, refuted)
        refuted = _refuted(frame, undecided)
        decided |= {name: _ORDER[at] for name, at in undecided.items() if name not in refuted}
        undecided = _next({name: at for name, at in undecided.items() if name in refuted}, refuted)
    empty = _empty(frame, decided)
    return frame.with_columns(_cast(name, kind) for name, kind in decided.items() if name not in empty)


def _next(undecided: dict[str, int], refuted: set[str]) -> dict[str, int]:
    """The next candidate type of refuted columns; a column without one is text."""
    moved = {name: at + (name in refuted) for name, at in undecided.items()}
    return {name: at for name, at in moved.items() if at < len(_ORDER)}


def _refuted(frame: pl.LazyFrame, undecided: dict[str, int]) -> set[str]:
    """The columns with values that are not of their candidate type."""
    if not undecided:
        return set()
    tests = [(~_is(pl.col(name), _ORDER[at])).any().alias(name) for name, at in undecided.items()]
    found = frame.select(tests).collect(engine="streaming").row(0, named=True)
    numbers = [name for name, at in undecided.items() if _ORDER[at] == "number" and not found[name]]
    return {name for name in undecided if found[name]} | {name for name in numbers if not _restorable(frame, name)}


def _empty(frame: pl.LazyFrame, names: Collection[str]) -> set[str]:
    """The columns without values, for which no type can be refuted."""
    if not names:
        return set()
    counts = frame.select(pl.col(name).head(1).count() for name in names)
    maybe = [name for name, count in counts.collect().row(0, named=True).items() if not count]
    if not maybe:
        return set()
    found = frame.select(pl.col(name).count() for name in maybe).collect(engine="streaming").row(0, named=True)
    return {name for name, count in found.items() if not count}


def _is(text: pl.Expr, kind: Numeric) -> pl.Expr:
    match kind:
        case "integer":
            return text.str.contains(INTEGER)
        case "number":
            return text.str.contains(_DECIMAL) & ~text.str.contains(_NEGATIVE_ZERO)
        case "boolean":
            return text.str.to_lowercase().is_in(["true", "false"])


def _restorable(frame: pl.LazyFrame, name: str) -> bool:
    """Whether all distinct texts of a column of decimals are distinct doubles."""
    text = pl.col(name)
    has_exponent = text.str.contains("e", literal=True)
    rounded = (text.str.len_bytes() > _SHORT) & (text.cast(pl.Float64).cast(pl.String) != text)
    stats = frame.select(
        rounded=(rounded & ~has_exponent).any(),
        exponents=has_exponent.any(),
        values=text.count(),
        points=text.str.contains(".", literal=True).sum(),
        zeros=text.str.contains(_TRAILING_ZERO).sum(),
        bare=text.str.ends_with(".0").sum(),
    )
    found = stats.collect(engine="streaming").row(0, named=True)
    same_digits = found["zeros"] == found["bare"] and found["points"] == found["values"]
    if found["rounded"]:
        return False
    if not found["exponents"] and (not found["zeros"] or same_digits):
        return True
    counts = frame.select(texts=text.n_unique(), numbers=text.cast(pl.Float64).n_unique())
    texts, numbers = counts.collect(engine="streaming").row(0)
    return bool(texts == numbers)


def _cast(name: str, kind: Numeric) -> pl.Expr:
    text = pl.col(name)
    if kind == "boolean":
        return (text.str.to_lowercase() == "true").alias(name)
    return text.cast(pl.Int64 if kind == "integer" else pl.Float64)
