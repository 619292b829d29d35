"""Whether the times of a table are times, and in the unit that the recipe says."""

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl

from shortlist.data.sources.time_patterns import strptime_hint
from shortlist.data.sources.times import PER_SECOND
from shortlist.data.tables import TIME_AS_READ, path, scan_file
from shortlist.data.validate.limit import Limit, one_of
from shortlist.data.validate.rows import Checked
from shortlist.data.validate.rules import latest_second, seconds_of
from shortlist.recipe import FilesSource, Recipe

_NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
_PLAUSIBLE = "1995-01-01"
"""Event logs do not begin before; times that do are relative to something, or in another unit."""
_OLDEST = "1980-01-01"
"""Events of people with computers; a counter that is taken for seconds is in 1970."""
_FIRST_DAY, _LAST_DAY = 1980_01_01, 2100_12_31
_TEXTS = 200
"""So many unread times tell the pattern of all."""


def unit_limit(recipe: Recipe, events: Checked) -> Limit:
    """Whether the times would make more sense in another unit than the recipe says."""
    unit = recipe.interactions.time_unit
    guess = _guess_unit(recipe, float(np.median(events.middle_times))) if events.middle_times else unit
    complaint = ""
    if guess != unit:
        middle = float(np.median(events.middle_times))
        really = middle * PER_SECOND[unit] / PER_SECOND[guess]
        complaint = (
            f"the times look like {_NAMES[guess]}, not {_NAMES[unit]}: half of the events are before {_date(middle)}, "
            f"which would be {_date(really)} in {_NAMES[guess]}; set interactions.time_unit: {guess}"
        )
        if middle < seconds_of(_PLAUSIBLE, "earliest"):
            complaint += f" (if it is right, say so by contract.earliest: {_date(min(0.0, middle))})"
    return one_of("unit of time", guess, [unit], complaint)


def age_limit(recipe: Recipe, events: Checked) -> Limit:
    """Whether the times are times at all: a counter or a session's id is none in any unit."""
    name, unit = "times of this age", recipe.interactions.time_unit
    asked = f"not before {_OLDEST} unless contract.earliest says so"
    middle = float(np.median(events.middle_times)) if events.middle_times else 0.0
    relative = unit == "row" or recipe.contract.earliest is not None or not isinstance(recipe.source, FilesSource)
    # With another unit that fits, the limit of the unit says more.
    if not events.middle_times or relative or _guess_unit(recipe, middle) != unit or middle >= seconds_of(_OLDEST, ""):
        return one_of(name, asked, [asked], "")
    hint = ""
    if _FIRST_DAY <= middle * PER_SECOND[unit] <= _LAST_DAY:
        hint = "; digits of a date are read by time: STRPTIME(CAST(x AS VARCHAR), '%Y%m%d')"
    complaint = (
        f"the times are no times: half of the events are before {_date(middle)}, and no other unit makes a likely date "
        "of them; check that source.events.columns.time names the right column, not a counter or the id of a session"
        f"{hint} (if they count from a moment of their own, say so by contract.earliest: {_date(min(0.0, middle))}; "
        "if only the order of the rows is known, set interactions.time_unit: row)"
    )
    return one_of(name, _date(middle), [asked], complaint)


def _guess_unit(recipe: Recipe, middle: float) -> str:
    unit, earliest = recipe.interactions.time_unit, recipe.contract.earliest
    if unit == "row":
        return unit
    low, high = seconds_of(earliest or _PLAUSIBLE, "contract.earliest"), latest_second(recipe)
    if low <= middle <= high:
        return unit
    others = [other for other in PER_SECOND if low <= middle * PER_SECOND[unit] / PER_SECOND[other] <= high]
    return others[0] if others else unit


def _date(second: float) -> str:
    try:
        return dt.datetime.fromtimestamp(second, dt.UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        return f"the year {1970 + second / 31_556_952:,.0f}"


def pattern_hint(recipe: Recipe, quarantine: Path) -> str:
    """How to read the times that could not be read, where a usual pattern fits them."""
    events = scan_file(path(quarantine, "events"))
    if TIME_AS_READ not in events.collect_schema() or not isinstance(recipe.source, FilesSource):
        return ""
    texts = events.select(pl.col(TIME_AS_READ).drop_nulls().head(_TEXTS)).collect().to_series().to_list()
    hint = strptime_hint(texts, recipe.source.events[0].columns.get("time", "time"))
    return f"These times would be read by {hint}. " if hint else ""
