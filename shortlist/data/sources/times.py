"""Converts times to whole seconds since the epoch (UTC), as one Polars expression.

Text is read as a number in the given unit, or as ISO 8601 as it occurs in files: `T` or a space between date and time,
with or without seconds, any fraction after `.` or `,`, and a zone as `Z`, `UTC`, `GMT`, `+02`, `+0200`, `+02:00` or an
IANA name like `Europe/Berlin` (alone, or in brackets after an offset, which then applies). Text without a zone is UTC.
A date without a time is midnight. One column may mix these forms. Other patterns need STRPTIME in the recipe; see
`shortlist.data.sources.time_patterns`.
"""

from typing import Literal
from zoneinfo import available_timezones

import polars as pl

TimeUnit = Literal["s", "ms", "us", "ns"]

PER_SECOND: dict[str, int] = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}

_DAY, _HOUR, _MINUTE = 86_400, 3_600, 60
_ISO = (
    r"^\s*(\d{4}-\d{2}-\d{2})"  # 1: date
    r"(?:[Tt ]([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d|60)(?:[.,]\d*)?)?"  # 2, 3, 4: hour, minute, second
    r"\s*([Zz]|UTC|GMT|[+-]\d{2}(?::?[0-5]\d)?)?"  # 5: offset
    r"\s*(?:\[?([A-Z][A-Za-z_]+/[\w/+-]+|UTC|GMT)\]?)?)?\s*$"  # 6: name of a zone
)


def seconds(value: pl.Expr, dtype: pl.DataType, unit: TimeUnit) -> pl.Expr:
    """Whole seconds since the epoch (UTC) as Int64, rounded down; null for what cannot be read.

    `dtype` is the type of `value`; `unit` is the unit of numbers, also of numbers in text, and is ignored for times and
    dates. An ambiguous local time at the end of daylight saving is the first of the two; a local time that is skipped
    at its start is null. Raises ValueError for a type without dates, such as a time of day, a boolean or a list.
    """
    per_second = PER_SECOND[unit]
    if isinstance(dtype, pl.Datetime):
        return value.dt.epoch("us").floordiv(1_000_000)
    if dtype == pl.Date:
        return value.cast(pl.Int32).cast(pl.Int64) * _DAY
    if dtype.is_integer() or (isinstance(dtype, pl.Decimal) and not dtype.scale):
        return value.cast(pl.Int64, strict=False) // per_second
    if dtype.is_numeric():
        return (value.cast(pl.Float64, strict=False) / per_second).floor().cast(pl.Int64, strict=False)
    if dtype == pl.String or isinstance(dtype, pl.Categorical | pl.Enum):
        return value.cast(pl.String).map_batches(
            lambda text: _of_text(text, per_second), return_dtype=pl.Int64, is_elementwise=True
        )
    if dtype == pl.Null:
        return value.cast(pl.Int64)
    raise ValueError(f"{dtype} is not a type of times; give numbers, dates or text, or CAST it")


def _of_text(text: pl.Series, per_second: int) -> pl.Series:
    """Convert one batch; a function, so that the regular expression is only applied to text that is not a number."""
    found = text.cast(pl.Int64, strict=False) // per_second
    for read in (lambda left: _of_fractions(left, per_second), _of_iso):
        left = (found.is_null() & text.is_not_null()).arg_true()
        if len(left):
            found = found.scatter(left, read(text.gather(left)))
    return found


def _of_fractions(text: pl.Series, per_second: int) -> pl.Series:
    return (text.cast(pl.Float64, strict=False) / per_second).floor().cast(pl.Int64, strict=False)


def _of_iso(text: pl.Series) -> pl.Series:
    """One regular expression for all forms, which is faster than one `strptime` per form; fractions round down."""
    parts = (
        text.to_frame("text")
        .select(pl.col("text").str.extract_groups(_ISO).struct.rename_fields([*"dhms", "offset", "zone"]))
        .unnest("text")
    )
    zone = pl.when(pl.col("offset").is_null()).then(pl.col("zone").replace("GMT", "UTC"))
    parts = parts.select(local=_local(), ahead=_ahead(), zone=zone)
    utc = pl.col("local") - pl.col("ahead")
    named = parts["zone"].drop_nulls().unique()
    if len(named):  # Polars takes a zone only as a constant
        moment = pl.from_epoch("local", "s")
        utc = pl.when(pl.col("zone").is_null()).then(utc)
        for name in sorted(set(named) & available_timezones()):
            there = moment.dt.replace_time_zone(name, ambiguous="earliest", non_existent="null").dt.epoch("s")
            utc = utc.when(pl.col("zone") == name).then(there)
    return parts.select(utc).to_series()


def _local() -> pl.Expr:
    hour, minute, second = (pl.col(part).cast(pl.Int64).fill_null(0) for part in "hms")
    days = pl.col("d").str.to_date("%Y-%m-%d", strict=False).cast(pl.Int32).cast(pl.Int64)
    return days * _DAY + hour * _HOUR + minute * _MINUTE + second


def _ahead() -> pl.Expr:
    """Seconds that `+02:00`, `+0200` or `+02` is ahead of UTC; 0 for none and for `Z`."""
    offset = pl.col("offset")
    hours = offset.str.slice(1, 2).cast(pl.Int64, strict=False).fill_null(0)
    minutes = offset.str.slice(3).str.strip_prefix(":").cast(pl.Int64, strict=False).fill_null(0)
    size = hours * _HOUR + minutes * _MINUTE
    return pl.when(offset.str.starts_with("-")).then(-size).otherwise(size)
