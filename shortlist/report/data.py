"""The section on the data: events, validation rules and the split."""

import datetime as dt
from html import escape
from typing import Any

from shortlist.report.charts import Axes, Band, Bar, Series, columns, lines
from shortlist.report.pieces import card, code, folded, note, section, table, tiles
from shortlist.report.record import RunRecord
from shortlist.report.scales import plain

_EPOCH = dt.date(1970, 1, 1)
_MOST_COLUMNS = 40


def data(run: RunRecord, details: dict[str, dict[str, Any]]) -> str:
    """Rows, rules, events by day, distributions."""
    found = details.get("validate", {})
    distributions = [
        _distribution(found, "events_per_user", "Events of a user", "users"),
        _distribution(found, "events_per_item", "Events of an item", "items"),
    ]
    parts = [_flow(run)]
    if found:
        parts.append(_days(found, details.get("prepare", {}).get("split", {})))
        parts.append(f'<div class="grid">{"".join(distributions)}</div>')
        parts += [_rules(found), _limits(found), _missing(found)]
    else:
        parts.append(note("Rules and distributions are left out: the step validate has no details."))
    lead = "Rows that break a rule are quarantined with their reason; they are used neither for training nor for tests."
    proven = [details.get(step, {}).get("leakage", {}) for step in ("prepare", "train_retrieval")]
    counts = [(name, count) for one in proven for name, count in one.items()]
    if counts:
        checked = ", ".join(f"{plain(count)} {name.replace('_', ' ')}" for name, count in counts)
        lead += f" No event at or after a query's time is used in its features; checked: {checked}."
    half_life = details.get("prepare", {}).get("popular_half_life", "none")
    if half_life != "none":
        lead += f" Popularity is time-decayed, with a half-life of {escape(half_life)}."
    return section("Data", lead, "".join(parts))


def _flow(run: RunRecord) -> str:
    rows = {one.step: (one.rows_in, one.rows_out) for one in run.steps}
    read = rows.get("ingest", ({}, {}))[1].get("events")
    quarantined = rows.get("validate", ({}, {}))[1].get("quarantined_events")
    cut = rows.get("prepare", ({}, {}))[1]
    listed = [("events read", read), ("users", cut.get("users")), ("items", cut.get("items"))]
    listed += [("train samples", cut.get("train_samples")), ("test queries", cut.get("test_queries"))]
    shown = [(name, plain(value)) for name, value in listed if value is not None]
    if read and quarantined is not None:
        shown.insert(1, (f"quarantined {100 * quarantined / read:.2g}%", plain(quarantined)))
    return tiles(shown)


def _days(found: dict[str, Any], split: dict[str, Any]) -> str:
    series = found.get("events_per_day")
    if not series:
        return note("Events by day are left out: the events have no times.")
    if len(series["events"]) < 2:
        return note("Events by day are left out: all events are of one day.")
    width = series["days_per_point"]
    first = (dt.date.fromisoformat(series["first_day"]) - _EPOCH).days
    points = [(float(first + i * width), float(count)) for i, count in enumerate(series["events"])]
    bands = []
    for name, title in (("train", "train"), ("valid", "validation"), ("test", "test")):
        start, end = (_day(split.get(f"{name}_{edge}")) for edge in ("start", "end"))
        if start is not None and end is not None:
            bands.append(Band(title, start, end))
    y = "events a day" if width == 1 else f"events in {width} days"
    axes = Axes(x="day (UTC)", y=y, zero_y=True, show_x=_date, whole_x=True)
    chart = lines([Series("", "c-retrieval", points)], axes, area=True, bands=bands)
    return card("Valid events by day, and the split", chart)


def _day(moment: Any) -> float | None:
    """The time `2021-03-04 05:06:07` as days since the epoch; None for anything else."""
    try:
        at = dt.datetime.fromisoformat(str(moment)).replace(tzinfo=dt.UTC)
    except ValueError:
        return None
    return at.timestamp() / 86_400


def _date(day: float) -> str:
    date = _EPOCH + dt.timedelta(days=day)
    return f"{date.day} {date:%b %y}"


def _distribution(found: dict[str, Any], key: str, title: str, of: str) -> str:
    bins = found.get(key) or []
    if not bins:
        return ""
    rows = [
        Bar(plain(one["from"]), one["count"], f"{plain(one['from'])} to {plain(one['to'])}: {plain(one['count'])} {of}")
        for one in bins
    ]
    axes = Axes(x="events, at least (bins double)", y=of)
    return card(title, columns(rows, axes, "c-retrieval"))


def _rules(found: dict[str, Any]) -> str:
    rules = sorted(found.get("rules") or [], key=lambda rule: -rule["failed"])
    if not rules:
        return ""
    titles = ("Table", "Column", "A row is quarantined when", "Rows", "Share")
    rows = [
        [
            escape(rule["table"]),
            code(rule["column"] or ""),
            escape(rule["rule"]),
            f'<span class="fail">{plain(rule["failed"])}</span>' if rule["failed"] else "0",
            _share(rule["share"]),
        ]
        for rule in rules
    ]
    broken = sum(rule["failed"] > 0 for rule in rules)
    shown = table(titles, rows[:broken], [3, 4]) if broken else note("All rows pass all rules.")
    passed = folded(f"Row rules: {len(rules) - broken} passed", table(titles, rows[broken:], [3, 4]))
    return card("Row rules", shown, f"{broken} of {len(rules)} failed") + (passed if broken < len(rules) else "")


def _limits(found: dict[str, Any]) -> str:
    limits = found.get("limits") or []
    if not limits:
        return ""
    rows = [
        [escape(one["rule"]), escape(str(one.get("asked", ""))), escape(_observed(one["observed"]))] for one in limits
    ]
    return folded(f"Table rules: all {len(rows)} passed", table(("Rule", "Required", "Observed"), rows))


def _missing(found: dict[str, Any]) -> str:
    listed = [one for one in found.get("columns") or [] if one["null_share"] > 0 or one.get("not_finite")]
    if not listed:
        return ""
    rows = [
        [escape(one["table"]), code(one["column"]), _share(one["null_share"]), plain(one.get("not_finite", 0))]
        for one in sorted(listed, key=lambda one: -one["null_share"])[:_MOST_COLUMNS]
    ]
    return folded(
        f"Columns with missing values: {len(listed)}", table(("Table", "Column", "Missing", "Not finite"), rows, [2, 3])
    )


def _share(share: float) -> str:
    return "" if share == 0 else "&lt; 0.01%" if share < 0.0001 else f"{share:.2%}"


def _observed(value: Any) -> str:
    return plain(value) if isinstance(value, int | float) else str(value)
