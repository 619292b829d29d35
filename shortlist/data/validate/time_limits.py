"""Checks that the times of a table are plausible and in the unit of the recipe."""

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
from shortlist.recipe import FilesSource, Recipe, SqlSource

_NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
_PLAUSIBLE = "1995-01-01"
"""The earliest plausible date of event logs; earlier times are relative or in another unit."""
_OLDEST = "1980-01-01"
"""The earliest accepted date; a counter that is read as seconds is in 1970."""
_FIRST_DAY, _LAST_DAY = 1980_01_01, 2100_12_31
_TEXTS = 200
"""The number of unparsed times from which their pattern is guessed."""


def unit_limit(recipe: Recipe, events: Checked) -> Limit:
    """The limit that the times are not more plausible in another unit."""
    unit = recipe.interactions.time_unit
    guess = _guess_unit(recipe, float(np.median(events.middle_times))) if events.middle_times else unit
    message = ""
    if guess != unit:
        middle = float(np.median(events.middle_times))
        really = middle * PER_SECOND[unit] / PER_SECOND[guess]
        message = (
            f"the times look like {_NAMES[guess]}, not {_NAMES[unit]}: half of the events are before {_date(middle)}, "
            f"which would be {_date(really)} in {_NAMES[guess]}; set interactions.time_unit: {guess}"
        )
        if middle < seconds_of(_PLAUSIBLE, "earliest"):
            message += f" (if the unit is right, set contract.earliest: {_date(min(0.0, middle))})"
    return one_of("unit of time", guess, [unit], message)


def age_limit(recipe: Recipe, events: Checked) -> Limit:
    """The limit that the times are plausible dates, and not a counter or an id."""
    name, unit = "times of this age", recipe.interactions.time_unit
    required = f"not before {_OLDEST} unless contract.earliest allows it"
    middle = float(np.median(events.middle_times)) if events.middle_times else 0.0
    own = isinstance(recipe.source, FilesSource | SqlSource)
    relative = unit == "row" or recipe.contract.earliest is not None or not own
    # If another unit is plausible, the unit limit has the better message.
    if not events.middle_times or relative or _guess_unit(recipe, middle) != unit or middle >= seconds_of(_OLDEST, ""):
        return one_of(name, required, [required], "")
    hint = ""
    if _FIRST_DAY <= middle * PER_SECOND[unit] <= _LAST_DAY:
        hint = "; parse the digits of a date with time: STRPTIME(CAST(x AS VARCHAR), '%Y%m%d')"
    message = (
        f"the times are not plausible: half of the events are before {_date(middle)}, and no other unit gives "
        "plausible dates; check that source.events.columns.time is the right column, not a counter or a session id"
        f"{hint} (if the times are relative, set contract.earliest: {_date(min(0.0, middle))}; "
        "if only the order of the rows is known, set interactions.time_unit: row)"
    )
    return one_of(name, _date(middle), [required], message)


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
    """How to parse the times that could not be parsed, if a common pattern matches."""
    events = scan_file(path(quarantine, "events"))
    source = recipe.source
    if TIME_AS_READ not in events.collect_schema() or not isinstance(source, FilesSource | SqlSource):
        return ""
    texts = events.select(pl.col(TIME_AS_READ).drop_nulls().head(_TEXTS)).collect().to_series().to_list()
    table = source.events if isinstance(source, SqlSource) else source.events[0]
    hint = strptime_hint(texts, table.columns.get("time", "time"))
    return f"These times can be parsed with {hint}. " if hint else ""
