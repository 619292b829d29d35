"""What must hold for the tables as a whole; a broken rule stops the run and says how far off and what to do."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from great_expectations import expectations as gxe

from shortlist.recipe import FilesSource, Recipe
from shortlist.sources.time_patterns import strptime_hint
from shortlist.tables import TIME_AS_READ, path, scan_file
from shortlist.validate.profile import Profile
from shortlist.validate.rows import ROW, Checked
from shortlist.validate.rules import latest_second, seconds_of
from shortlist.validate.suite import Suite

_UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
_SHOWN = 3
"""Values of a list in a message."""
_PLAUSIBLE = "1995-01-01"
"""Event logs do not begin before; times that do are relative to something, or in another unit."""

_OLDEST = "1980-01-01"
"""Events of people with computers; a counter that is taken for seconds is in 1970."""
_FIRST_DAY, _LAST_DAY = 1980_01_01, 2100_12_31
_TEXTS = 1_000
"""So many unread times tell the pattern of all."""


@dataclass(frozen=True)
class Limit:
    """One rule of the tables: what was measured, what Great Expectations asks of it, and what a broken one says."""

    name: str
    observed: float | str
    asked: str
    expectation: Any
    complaint: str


def type_limits(schemas: Mapping[str, Mapping[str, pl.DataType]]) -> list[Limit]:
    """The columns that the tables must have, their types, and that ids are of one type everywhere."""
    events = schemas["events"]
    asked: dict[tuple[str, str], list[pl.DataType]] = {
        ("events", "user_id"): [pl.Int64(), pl.String()],
        ("events", "item_id"): [pl.Int64(), pl.String()],
        ("events", "time"): [pl.Int64()],
        ("events", "positive"): [pl.Boolean()],
        ("events", "in_history"): [pl.Boolean()],
        ("events", "weight"): [pl.Float32()],
        ("items", "item_id"): [events["item_id"]] if "item_id" in events else [],
        ("users", "user_id"): [events["user_id"]] if "user_id" in events else [],
    }
    limits = []
    for (table, column), types in asked.items():
        found = schemas[table].get(column)
        names = [str(kind) for kind in types]
        same = " like that of the events" if table != "events" else ""
        complaint = (
            f"source.{table}.columns.{column}: the column {'is missing' if found is None else f'holds {found}'}, "
            f"it must be {' or '.join(names)}{same}; name the right column, or cast it: CAST({column} AS ...)"
        )
        limits.append(_text(f"type of {table}.{column}", str(found), names, complaint))
    return limits


def measure(
    recipe: Recipe, checked: Mapping[str, Checked], profile: Profile, quarantine: Path, lengths: Mapping[int, int]
) -> list[Limit]:
    """The table rules of the contract and what they find.

    `lengths` counts the items by the length of their embedding, when some have not the length of the recipe.
    """
    events, contract = checked["events"], recipe.contract
    rows, share, reasons = events.rows, _share(events), _top_reasons(events)
    hints = {"events": _pattern_hint(recipe, quarantine), "items": _length_hint(lengths), "users": ""}
    limits = [
        _unit(recipe, events),
        _plausible(recipe, events),
        *(_quarantined(checked[table], contract.max_quarantined, quarantine, hints[table]) for table in _given(recipe)),
        _range(
            "events read",
            rows,
            1,
            contract.max_rows,
            f"contract.max_rows: {rows:,} events were read, at most {contract.max_rows} may be; read less, or raise it"
            if rows
            else "the source gave no events; look at the path and the columns of source.events",
        ),
    ]
    more = f"give more data. {reasons}".strip()
    # When most rows are gone, that too few are left is no news.
    if rows and share <= contract.max_quarantined:
        limits += [
            _at_least("sound events", profile.events, contract.min_rows, "contract.min_rows", more),
            _at_least("users", profile.users, contract.min_users, "contract.min_users", _one("user")),
            _at_least("items", profile.items, contract.min_items, "contract.min_items", _one("item")),
            _at_least(
                "positives",
                profile.positives,
                1,
                "interactions.positive",
                f"no event meets {recipe.interactions.positive!r}: ease it",
            ),
        ]
    return limits


def _quarantined(checked: Checked, most: float, quarantine: Path, hint: str) -> Limit:
    """The bound holds for each table by itself: a few wrong items among many events would not be seen."""
    table, share = checked.table, _share(checked)
    return _range(
        f"share of quarantined {table}",
        share,
        0,
        most,
        f"contract.max_quarantined: {_percent(share)} of {checked.rows:,} {table} are quarantined, at most "
        f"{_percent(most)} may be. {_top_reasons(checked)}{hint}The rows and their reasons are in "
        f"{quarantine}; mend the data or the expressions under source.{table}, or ease the contract",
    )


def _given(recipe: Recipe) -> list[str]:
    """The tables of the source; what is merely met in the events is judged there."""
    source = recipe.source
    if not isinstance(source, FilesSource):
        return ["events", "items", "users"]
    there = {"items": source.items is not None, "users": source.users is not None}
    return ["events", *(table for table, given in there.items() if given)]


def _share(checked: Checked) -> float:
    return checked.quarantined / max(checked.rows, 1)


def hold(name: str, limits: list[Limit]) -> tuple[Suite, list[Limit]]:
    """Ask Great Expectations which limits are broken."""
    suite = Suite(name, [limit.expectation for limit in limits])
    frame = pl.DataFrame({limit.name: [limit.observed] for limit in limits}).to_pandas()
    suite.check(frame)
    return suite, [limit for limit, result in zip(limits, suite.results, strict=True) if not result.success]


def _range(name: str, observed: float, low: float, high: float | None, complaint: str) -> Limit:
    # Of a single row the maximum is the value, and Great Expectations shows what it saw of an aggregate.
    asked = f"at least {low:,}" + ("" if high is None else f" and at most {high:,}")
    expectation = gxe.ExpectColumnMaxToBeBetween(
        column=name, min_value=low, max_value=high, description=asked, severity="critical"
    )
    return Limit(name, observed, asked, expectation, complaint)


def _text(name: str, observed: str, allowed: list[str], complaint: str) -> Limit:
    asked = " or ".join(allowed)
    expectation = gxe.ExpectColumnValuesToBeInSet(
        column=name, value_set=allowed, description=asked, severity="critical"
    )
    return Limit(name, observed, asked, expectation, complaint)


def _at_least(name: str, observed: int, least: int, where: str, mend: str) -> Limit:
    return _range(name, observed, least, None, f"{where}: {observed:,} {name}, at least {least:,} must be; {mend}")


def _one(what: str) -> str:
    return (
        f"give data of more {what}s, or look whether source.events.columns.{what}_id names the right column; "
        f"a recommender cannot learn from fewer than two"
    )


def _unit(recipe: Recipe, events: Checked) -> Limit:
    """Whether the times would make more sense in another unit than the recipe says."""
    unit = recipe.interactions.time_unit
    guess = _guess_unit(recipe, float(np.median(events.middle_times))) if events.middle_times else unit
    complaint = ""
    if guess != unit:
        middle = float(np.median(events.middle_times))
        really = middle * _UNITS[unit] / _UNITS[guess]
        complaint = (
            f"the times look like {_NAMES[guess]}, not {_NAMES[unit]}: half of the events are before {_date(middle)}, "
            f"which would be {_date(really)} in {_NAMES[guess]}; set interactions.time_unit: {guess}"
        )
        if middle < seconds_of(_PLAUSIBLE, "earliest"):
            complaint += f" (if it is right, say so by contract.earliest: {_date(min(0.0, middle))})"
    return _text("unit of time", guess, [unit], complaint)


def _plausible(recipe: Recipe, events: Checked) -> Limit:
    """Whether the times are times at all: a counter or a session's id is none in any unit."""
    name, unit = "times of this age", recipe.interactions.time_unit
    asked = f"not before {_OLDEST} unless contract.earliest says so"
    middle = float(np.median(events.middle_times)) if events.middle_times else 0.0
    relative = unit == "row" or recipe.contract.earliest is not None or not isinstance(recipe.source, FilesSource)
    # With another unit that fits, the limit of the unit says more.
    if not events.middle_times or relative or _guess_unit(recipe, middle) != unit or middle >= seconds_of(_OLDEST, ""):
        return _text(name, asked, [asked], "")
    hint = ""
    if _FIRST_DAY <= middle * _UNITS[unit] <= _LAST_DAY:
        hint = "; digits of a date are read by time: STRPTIME(CAST(x AS VARCHAR), '%Y%m%d')"
    complaint = (
        f"the times are no times: half of the events are before {_date(middle)}, and no other unit makes a likely date "
        "of them; check that source.events.columns.time names the right column, not a counter or the id of a session"
        f"{hint} (if they count from a moment of their own, say so by contract.earliest: {_date(min(0.0, middle))}; "
        "if only the order of the rows is known, set interactions.time_unit: row)"
    )
    return _text(name, _date(middle), [asked], complaint)


def _guess_unit(recipe: Recipe, middle: float) -> str:
    unit, earliest = recipe.interactions.time_unit, recipe.contract.earliest
    if unit == "row":
        return unit
    low, high = seconds_of(earliest or _PLAUSIBLE, "contract.earliest"), latest_second(recipe)
    if low <= middle <= high:
        return unit
    others = [other for other in _UNITS if low <= middle * _UNITS[unit] / _UNITS[other] <= high]
    return others[0] if others else unit


def _date(second: float) -> str:
    try:
        return dt.datetime.fromtimestamp(second, dt.UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        return f"the year {1970 + second / 31_556_952:,.0f}"


def _percent(share: float) -> str:
    """At most three digits, but never 100 % or 0 % of what is less or more."""
    return f"{100 * share:.3g} %" if share in (0, 1) or 0.0005 < share < 0.9995 else f"{100 * share:.6g} %"


def _short(value: Any) -> str:
    """A value as a message can show it: of a long list its beginning."""
    if isinstance(value, list) and len(value) > _SHOWN:
        return f"[{', '.join(map(repr, value[:_SHOWN]))}, ...]"
    return repr(value)


def _top_reasons(events: Checked) -> str:
    found = sorted(zip(events.failed, events.rules, strict=True), key=lambda pair: -pair[0])
    parts = []
    for count, rule in found[:3]:
        if count:
            row = dict(events.examples[rule.reason])
            number, read = row.pop(ROW), row.pop(TIME_AS_READ, None)
            if read is not None:
                row["time"] = read
            shown = ", ".join(f"{name}={_short(value)}" for name, value in list(row.items())[:6])
            parts.append(f"{rule.reason} ({count:,} times; first in row {number:,}: {shown})")
    return f"Most often: {'; '.join(parts)}. " if parts else ""


def _length_hint(lengths: Mapping[int, int]) -> str:
    if not lengths:
        return ""
    counts = ", ".join(f"{length} ({count:,} times)" for length, count in lengths.items())
    return f"The lengths found are {counts}; correct features.item.embedding.dim, or the vectors. "


def _pattern_hint(recipe: Recipe, quarantine: Path) -> str:
    """How to read the times that could not be read, where a usual pattern fits them."""
    events = scan_file(path(quarantine, "events"))
    if TIME_AS_READ not in events.collect_schema() or not isinstance(recipe.source, FilesSource):
        return ""
    texts = events.select(pl.col(TIME_AS_READ).drop_nulls().head(_TEXTS)).collect().to_series().to_list()
    hint = strptime_hint(texts, recipe.source.events[0].columns.get("time", "time"))
    return f"These times would be read by {hint}. " if hint else ""
