"""Times in text and numbers -> seconds since the epoch."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.data.sources.times import TimeUnit, seconds

MOMENT = 1704068178
"""2024-01-01 00:16:18 UTC."""


def read(values: list[object], dtype: pl.DataType | type[pl.DataType] = pl.String, unit: TimeUnit = "s") -> list[int]:
    frame = pl.LazyFrame({"time": pl.Series(values, dtype=dtype)})
    expression = seconds(pl.col("time"), frame.collect_schema()["time"], unit)
    found = frame.select(expression).collect(engine="streaming").to_series()
    assert found.dtype == pl.Int64
    return found.to_list()


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-01T02:16:18+02:00",
        "2024-01-01T00:16:18+00:00",
        "2024-01-01 00:16:18 UTC",
        "2024-01-01T00:16:18GMT",
        "2024-01-01 00:16:18",
        "2024-01-01t00:16:18z",
        "2024-01-01T02:16:18+0200",
        "2024-01-01 02:16:18 +02",
        "2023-12-31T18:46:18,123456789-05:30",
        "2024-01-01T00:16:18.999999999Z",
        "2024-01-01 01:16:18 Europe/Berlin",
        "2024-01-01T01:16:18[Europe/Berlin]",
        "2024-01-01T01:16:18+01:00[Europe/Berlin]",
        " 2024-01-01 00:16:18 ",
        "1704068178",
        "1704068178.9",
    ],
)
def test_one_moment_in_the_forms_of_iso_8601(text: str) -> None:
    assert read([text]) == [MOMENT]


def test_without_seconds_and_dates_alone_are_their_beginnings() -> None:
    texts = ["2024-01-01 00:16", "2024-01-01T00:16Z", "2024-01-01T01:16+01:00", "2024-01-01"]
    assert read(texts) == [MOMENT - 18] * 3 + [1704067200]


@given(
    moment=st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)),
    offset=st.none() | st.integers(-14 * 60, 14 * 60),
    separator=st.sampled_from("T "),
    point=st.sampled_from(".,"),
    colon=st.sampled_from([":", ""]),
)
def test_what_is_written_in_iso_8601_comes_back(
    moment: datetime, offset: int | None, separator: str, point: str, colon: str
) -> None:
    zoned = moment.replace(tzinfo=UTC if offset is None else timezone(timedelta(minutes=offset)))
    text = zoned.replace(tzinfo=None).isoformat(separator, "microseconds").replace(".", point)
    if offset is not None:
        text += f"{'-' if offset < 0 else '+'}{abs(offset) // 60:02d}{colon}{abs(offset) % 60:02d}"
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert read([text, None, "never"]) == [(zoned - epoch) // timedelta(seconds=1), None, None]


def test_a_zone_by_name_follows_its_clocks() -> None:
    texts = [f"{day} 12:00 Europe/Berlin" for day in ("2024-01-10", "2024-07-10")] + ["2024-07-10 12:00 America/Lima"]
    zones = ["Europe/Berlin", "Europe/Berlin", "America/Lima"]
    days = [datetime(2024, 1, 10, 12), datetime(2024, 7, 10, 12), datetime(2024, 7, 10, 12)]
    expected = [day.replace(tzinfo=ZoneInfo(zone)).timestamp() for day, zone in zip(days, zones, strict=True)]
    assert read(texts) == expected
    # Clocks that are put back show an hour twice: the first counts. Clocks that are put forward leave one out.
    assert read(["2024-10-27 02:30 Europe/Berlin", "2024-03-31 02:30 Europe/Berlin"]) == [1729989000, None]


@pytest.mark.parametrize(
    "text",
    [
        "11/20/2011 10:02",
        "2024-13-01",
        "2024-02-30 10:00",
        "2024-01-01 24:30",
        "2024-01-01 00:16 PM",
        "2024-01-01 10:00 Europe/Nowhere",
        "2024-01-01 10:00 CET",
        "2024-01-01T10",
        "2024-1-1",
        "soon",
        "nan",
        "inf",
        "",
    ],
)
def test_what_is_no_moment_is_null(text: str) -> None:
    assert read([text, "2024-01-01"]) == [None, 1704067200]


def test_every_type_of_moment_gives_the_same_seconds() -> None:
    moment = datetime(2024, 1, 1, 0, 16, 18, 900_000)
    for unit in ("ms", "us", "ns"):
        assert read([moment], pl.Datetime(unit)) == [MOMENT]
        assert read([moment], pl.Datetime(unit, "Asia/Tokyo")) == [MOMENT]
    assert read([datetime(1969, 12, 31, 23, 59, 59, 500_000)], pl.Datetime("ns")) == [-1]
    assert read([moment.date()], pl.Date) == [1704067200]
    assert read(["2024-01-01"], pl.Categorical) == [1704067200]
    for dtype in (pl.Int64, pl.UInt64, pl.Int128, pl.Decimal(20, 0), pl.Decimal(20, 2), pl.Float64):
        assert read([1704068178900], dtype, "ms") == [MOMENT]
    assert read([None], pl.Null) == [None]


@pytest.mark.parametrize("dtype", [pl.Time, pl.Duration, pl.Boolean, pl.List(pl.Int64), pl.Binary])
def test_a_type_without_moments_is_refused(dtype: pl.DataType) -> None:
    with pytest.raises(ValueError, match="is not a type of times"):
        read([None], dtype)
