"""Statistics of the valid events for the report."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from shortlist.data.tables import LABEL, scan_file

_DAY = 86_400
_MOST_POINTS = 730


@dataclass(frozen=True)
class Profile:
    """Counts over the valid events."""

    events: int
    positives: int
    users: int
    items: int
    labels: dict[str, int]
    """Label -> its events."""
    details: dict[str, Any]
    """`events_per_day`, `events_per_user`, `events_per_item`: plain JSON."""


def profile_events(clean: Path, *, has_times: bool, labels: Sequence[str] = ()) -> Profile:
    """Compute statistics of the events in the file `clean`; without times, there is no series of days."""
    scan = scan_file(clean)
    totals, span, users, items = pl.collect_all(
        [
            scan.select(
                pl.len().alias("events"),
                pl.col("positive").sum().alias("positives"),
                *(pl.col(LABEL + name).sum() for name in labels),
            ),
            scan.select(pl.col("time").min().alias("first"), pl.col("time").max().alias("last")),
            _sizes(scan, "user_id"),
            _sizes(scan, "item_id"),
        ],
        engine="streaming",
    )
    details: dict[str, Any] = {
        "events_per_user": _histogram(users),
        "events_per_item": _histogram(items),
    }
    first, last = span.row(0)
    if has_times and first is not None:
        details["events_per_day"] = _series(scan, first, last)
    num_users, num_items = (int(sizes["count"].sum()) for sizes in (users, items))
    num_events, num_positives, *num_labelled = (int(count) for count in totals.row(0))
    labelled = dict(zip(labels, num_labelled, strict=True))
    return Profile(num_events, num_positives, num_users, num_items, labelled, details)


def _sizes(scan: pl.LazyFrame, key: str) -> pl.LazyFrame:
    """The number of keys (`count`) by their number of events (`size`)."""
    return scan.group_by(key).agg(pl.len().alias("size")).group_by("size").agg(pl.len().alias("count"))


def _histogram(sizes: pl.DataFrame) -> list[dict[str, int]]:
    """Keys by their number of events, in bins between powers of two."""
    bins = (
        sizes.with_columns((pl.col("size").log(2) + 1e-9).floor().cast(pl.Int64).alias("bin"))
        .group_by("bin")
        .agg(pl.col("count").sum())
        .sort("bin")
    )
    return [{"from": 2**low, "to": 2 ** (low + 1) - 1, "count": count} for low, count in bins.rows()]


def _series(scan: pl.LazyFrame, first: int, last: int) -> dict[str, Any]:
    """Events by day, or by several days if there would be more than a few hundred points; empty days are zeros."""
    first_day = first // _DAY
    days = (last // _DAY - first_day) // _MOST_POINTS + 1
    step = ((pl.col("time") // _DAY - first_day) // days).alias("step")
    counted = dict(scan.group_by(step).len().collect(engine="streaming").rows())
    points = range((last // _DAY - first_day) // days + 1)
    return {
        "days_per_point": days,
        "first_day": (dt.date(1970, 1, 1) + dt.timedelta(days=first_day)).isoformat(),
        "events": [counted.get(point, 0) for point in points],
    }
