"""Explains why a column in an expression is text instead of numbers."""

import polars as pl

from shortlist.data.sources.sql import names_in

_MOSTLY = 0.5


def why_text(frame: pl.LazyFrame, sql: str) -> str:
    """`; 'rating' is text, ...` for the text columns of an expression that are mostly numbers, otherwise empty."""
    schema, hints = frame.collect_schema(), ""
    for name in names_in(sql):
        if schema.get(name) != pl.String:
            continue
        text = pl.col(name)
        number = text.cast(pl.Float64, strict=False)
        # `nan` is a number to Polars, but not a plain one.
        plain = number.is_finite().fill_null(value=False)
        counts = frame.select(text.count().alias("all"), plain.sum().alias("plain")).collect(engine="streaming")
        total, numbers = counts.row(0)
        if not total or numbers < _MOSTLY * total:
            continue
        odd = frame.select(name).with_row_index("row", offset=1).filter(text.is_not_null() & ~plain).head(1)
        found = odd.collect(engine="streaming")
        why = "since its numbers are written in several ways, like 1, 01 and 1.0"
        if not found.is_empty():
            row, value = found.row(0)
            why = f"since {value!r} (row {row:,}) is not a number"
        hints += (
            f"; {name!r} is text, {why}: declare `types: {{{name}: number}}`, and under `nulls` the words that mean "
            "missing values"
        )
    return hints
