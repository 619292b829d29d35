"""Table rules; a broken rule stops the run, with the observed value, the limit and a remedy."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from shortlist.data.tables import TIME_AS_READ
from shortlist.data.validate.limit import Limit, one_of, within
from shortlist.data.validate.profile import Profile
from shortlist.data.validate.rows import ROW, Checked
from shortlist.data.validate.suite import Suite
from shortlist.data.validate.time_limits import age_limit, pattern_hint, unit_limit
from shortlist.recipe import FilesSource, Recipe, SqlSource

_SHOWN = 3
"""Values of a list in a message."""


def type_limits(schemas: Mapping[str, Mapping[str, pl.DataType]]) -> list[Limit]:
    """The required columns of the tables and their types; ids must have the same type in all tables."""
    events = schemas["events"]
    required: dict[tuple[str, str], list[pl.DataType]] = {
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
    for (table, column), types in required.items():
        found = schemas[table].get(column)
        names = [str(kind) for kind in types]
        same = " like that of the events" if table != "events" else ""
        message = (
            f"source.{table}.columns.{column}: the column {'is missing' if found is None else f'has type {found}'}, "
            f"it must be {' or '.join(names)}{same}; use another column, or cast it: CAST({column} AS ...)"
        )
        limits.append(one_of(f"type of {table}.{column}", str(found), names, message))
    return limits


def contract_limits(
    recipe: Recipe, checked: Mapping[str, Checked], profile: Profile, quarantine: Path, lengths: Mapping[int, int]
) -> list[Limit]:
    """The table rules of the contract with their observed values.

    `lengths` counts the items by the length of their embedding, if some do not have the length of the recipe.
    """
    events, contract = checked["events"], recipe.contract
    rows, share, reasons = events.rows, _share(events), _top_reasons(events)
    hints = {"events": pattern_hint(recipe, quarantine), "items": _length_hint(lengths), "users": ""}
    limits = [
        unit_limit(recipe, events),
        age_limit(recipe, events),
        *(_quarantined(checked[table], contract.max_quarantined, quarantine, hints[table]) for table in _given(recipe)),
        within(
            "events read",
            rows,
            1,
            contract.max_rows,
            f"contract.max_rows: {rows:,} events were read, at most {contract.max_rows} are allowed; read less, or "
            "raise the limit"
            if rows
            else "the source has no events; check the path and the columns of source.events",
        ),
    ]
    more = f"give more data. {reasons}".strip()
    # If too many rows are quarantined, limits on the remaining rows add no information.
    if rows and share <= contract.max_quarantined:
        limits += [
            _at_least("valid events", profile.events, contract.min_rows, "contract.min_rows", more),
            _at_least("users", profile.users, contract.min_users, "contract.min_users", _one("user")),
            _at_least("items", profile.items, contract.min_items, "contract.min_items", _one("item")),
            _at_least(
                "positives",
                profile.positives,
                1,
                "interactions.positive",
                f"no event satisfies {recipe.interactions.positive!r}: relax the condition",
            ),
            *(
                _at_least(
                    f"events that are {name}",
                    profile.labels[name],
                    1,
                    f"interactions.labels.{name}",
                    f"no event satisfies {condition!r}: relax the condition, or remove the label",
                )
                for name, condition in recipe.interactions.labels.items()
            ),
        ]
    return limits


def _quarantined(checked: Checked, most: float, quarantine: Path, hint: str) -> Limit:
    """The limit is applied to each table separately, since a few invalid items would not show among many events."""
    table, share = checked.table, _share(checked)
    return within(
        f"share of quarantined {table}",
        share,
        0,
        most,
        f"contract.max_quarantined: {_percent(share)} of {checked.rows:,} {table} are quarantined, at most "
        f"{_percent(most)} are allowed. {_top_reasons(checked)}{hint}The rows and their reasons are in "
        f"{quarantine}; fix the data or the expressions under source.{table}, or relax the contract",
    )


def _given(recipe: Recipe) -> list[str]:
    """The tables of the source; tables that are derived from the events are not checked again."""
    source = recipe.source
    if not isinstance(source, FilesSource | SqlSource):
        return ["events", "items", "users"]
    present = {"items": source.items is not None, "users": source.users is not None}
    return ["events", *(table for table, given in present.items() if given)]


def _share(checked: Checked) -> float:
    return checked.quarantined / max(checked.rows, 1)


def check_limits(name: str, limits: list[Limit]) -> tuple[Suite, list[Limit]]:
    """Check limits with Great Expectations; returns the suite and the broken limits."""
    suite = Suite(name, [limit.expectation for limit in limits])
    frame = pl.DataFrame({limit.name: [limit.observed] for limit in limits}).to_pandas()
    suite.check(frame)
    return suite, [limit for limit, result in zip(limits, suite.results, strict=True) if not result.success]


def _at_least(name: str, observed: int, least: int, where: str, remedy: str) -> Limit:
    message = f"{where}: {observed:,} {name}, at least {least:,} are required; {remedy}"
    return within(name, observed, least, None, message)


def _one(what: str) -> str:
    return (
        f"give data with more {what}s, or check that source.events.columns.{what}_id is the right column; "
        f"a recommender cannot learn from fewer than two"
    )


def _percent(share: float) -> str:
    """At most three digits, but never rounded to 100 % or 0 %."""
    return f"{100 * share:.3g} %" if share in (0, 1) or 0.0005 < share < 0.9995 else f"{100 * share:.6g} %"


def _short(value: Any) -> str:
    """A value for a message; a long list is truncated."""
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
    return f"Most frequent: {'; '.join(parts)}. " if parts else ""


def _length_hint(lengths: Mapping[int, int]) -> str:
    if not lengths:
        return ""
    counts = ", ".join(f"{length} ({count:,} times)" for length, count in lengths.items())
    return f"The lengths found are {counts}; correct features.item.embedding.dim, or the vectors. "
