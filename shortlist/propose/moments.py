"""Whether a column holds times, in which unit or pattern, and the expression that reads it."""

import datetime as dt
from dataclasses import dataclass

import polars as pl

from shortlist.data.sources.time_patterns import patterns
from shortlist.data.sources.times import PER_SECOND, TimeUnit, seconds
from shortlist.propose.columns import Column

_TEXTS = 300
_MOSTLY = 0.95
_FIRST, _LAST_YEAR = 631_152_000, 2100
"""1990, from which on a number is taken for a time."""
_DAYS = (1980_01_01, 2100_12_31)
_CLOCK = r"^([01]?\d|2[0-3]):[0-5]\d(:[0-5]\d)?$"


@dataclass(frozen=True)
class Moment:
    """How a column is read as times."""

    expression: str
    unit: TimeUnit
    seconds: pl.Series
    """Int64 since the epoch, one for each row of the sample; null where it cannot be read."""
    form: str
    """For people: `seconds since 1970`, `ISO 8601`."""
    doubt: str = ""


def read_moment(column: Column, clock: Column | None = None) -> Moment | None:
    """How to read the column as times; None when it holds none. A `clock` is a second column with times of day."""
    dtype, sql = column.dtype, column.sql
    if not len(column.there):
        return None
    if dtype == pl.Date or isinstance(dtype, pl.Datetime):
        return Moment(sql, "s", _seconds(column.series, "s"), "dates" if dtype == pl.Date else "timestamps")
    if dtype.is_numeric():
        return _of_numbers(column)
    if not column.is_text:
        return None
    return _of_text(column, clock)


def _seconds(series: pl.Series, unit: TimeUnit) -> pl.Series:
    return series.to_frame("x").select(seconds(pl.col("x"), series.dtype, unit)).to_series()


def _of_numbers(column: Column) -> Moment | None:
    values = column.there.cast(pl.Float64)
    middle = float(values.median())  # type: ignore[arg-type]
    now = dt.datetime.now(dt.UTC).timestamp() + 86_400
    for unit, per_second in PER_SECOND.items():
        inside = values.is_between(_FIRST * per_second, now * per_second).mean()
        if inside is not None and inside >= _MOSTLY and _FIRST <= middle / per_second <= now:  # type: ignore[operator]
            names = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
            return Moment(column.sql, unit, _seconds(column.series, unit), f"{names[unit]} since 1970")  # type: ignore[arg-type]
    if column.dtype.is_integer() and bool(values.is_between(*_DAYS).all()):
        texts = column.series.cast(pl.String)
        found = texts.str.to_datetime("%Y%m%d", strict=False)
        if found.null_count() == texts.null_count():
            sql = f"STRPTIME(CAST({column.sql} AS VARCHAR), '%Y%m%d')"
            return Moment(sql, "s", found.dt.epoch("s"), "dates like 20240131")
    return None


def _of_text(column: Column, clock: Column | None) -> Moment | None:
    head = column.there.head(_TEXTS)
    if not bool(head.str.contains(r"\d").mean() >= _MOSTLY) or bool(head.str.len_chars().max() > 48):  # type: ignore[operator]
        return None
    if bool(head.str.contains(_CLOCK).mean() >= _MOSTLY):  # type: ignore[operator]
        return None
    if not head.str.contains(r"^\d+(\.\d+)?$").any():
        found = _seconds(column.series, "s")
        if _read(found, column.series):
            if clock is not None and _is_day(found):
                sql = f"CONCAT({column.sql}, 'T', LPAD({clock.sql}, {_width(clock)}, '0'))"
                both = pl.DataFrame({"d": column.series, "t": clock.series.str.zfill(_width(clock))})
                return Moment(
                    sql, "s", _seconds(both.select(pl.format("{}T{}", "d", "t")).to_series(), "s"), "ISO 8601"
                )
            return Moment(column.sql, "s", found, "ISO 8601, UTC where no zone is given")
    found_patterns = patterns(head.to_list())
    for pattern in found_patterns:
        zone = "UTC" if "%z" in pattern else None
        moments = column.series.str.to_datetime(pattern, strict=False, time_zone=zone).dt.epoch("s")
        if _read(moments, column.series):
            doubt = ""
            other = pattern.replace("%m", "%?").replace("%d", "%m").replace("%?", "%d")
            if other != pattern and other in found_patterns:
                again = column.series.str.to_datetime(other, strict=False, time_zone=zone).dt.epoch("s")
                if again.null_count() < moments.null_count():
                    continue
                if again.null_count() == moments.null_count():
                    doubt = f"day and month may be the other way round: '{other}'"
            return Moment(f"STRPTIME({column.sql}, '{pattern}')", "s", moments, f"the pattern {pattern}", doubt)
    return None


def is_clock(column: Column) -> bool:
    """Whether a column holds times of day, like `09:30`."""
    return column.is_text and len(column.there) > 0 and bool(column.there.str.contains(_CLOCK).mean() >= _MOSTLY)  # type: ignore[operator]


def _width(clock: Column) -> int:
    return int(clock.there.str.len_chars().max())  # type: ignore[arg-type]


def _read(found: pl.Series, of: pl.Series) -> bool:
    there = len(of) - of.null_count()
    return there > 0 and len(found) - found.null_count() >= _MOSTLY * there


def _is_day(moments: pl.Series) -> bool:
    return bool((moments.drop_nulls() % 86_400 == 0).all())
