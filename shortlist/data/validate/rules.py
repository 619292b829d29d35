"""The row rules, each with the values that Great Expectations checks and the reason of a violation."""

import datetime as dt
import difflib
import html
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from great_expectations import expectations as gxe

from shortlist.data import tables as canonical
from shortlist.data.keys import MAX_KEY_BYTES
from shortlist.data.tables import AVAILABLE, LABEL, UNREADABLE
from shortlist.recipe import ColumnRule, FilesSource, GivenSplit, Recipe

FIRST = "__first__"
"""Helper column of a chunk: whether a row is the first with its key."""
_NULL_WORDS = ["null", "none", "nan", "na", "n/a", "#n/a", "<na>", "(null)", "nil", "undefined", "nat", "\\n", "-"]
"""Words that programs write for missing values, in lower case; as an id, they would merge all unknown users."""
_LARGEST_WEIGHT = 3.4028234e38


class DataError(ValueError):
    """Data cannot be used; the message names the rule, the observed value and a remedy."""


@dataclass(frozen=True)
class RowRule:
    """A rule for one column of a table."""

    column: str
    """The name under which the rule is shown; all rules of a column check the same values."""
    sees: pl.Expr
    """The values that Great Expectations checks: the column, or a number derived from it."""
    reason: str
    """The reason that a row which breaks the rule gets in the quarantine."""
    expectation: Any


def event_rules(recipe: Recipe, schema: Mapping[str, pl.DataType], items: pl.Series) -> list[RowRule]:
    """The rules of the events table; `items` are the ids of the items table. Raises DataError for a wrong contract."""
    contract, rows = recipe.contract, recipe.interactions.time_unit == "row"
    rules = [*_id_rules(recipe, "user_id", "events", schema), *_id_rules(recipe, "item_id", "events", schema)]
    if contract.references:
        known = pl.col("item_id").is_in(items.implode())
        rules.append(_in_set("item_id in items", known, "item_id is not in the items table", [True]))
    rules.append(_not_null("time", pl.col("time"), "time is missing or cannot be read"))
    if not rows:
        latest = "time is in the future" if contract.latest == "now" else f"time is after {contract.latest}"
        rules.append(_between("time", pl.col("time"), latest, largest=latest_second(recipe)))
    if contract.earliest is not None and not rows:
        earliest = seconds_of(contract.earliest, "contract.earliest")
        rules.append(_between("time", pl.col("time"), f"time is before {contract.earliest}", smallest=earliest))
    rules.append(_not_null("weight", pl.col("weight"), "weight is missing or not a number"))
    rules.append(_between("weight", pl.col("weight"), "weight is negative or infinite", 0, _LARGEST_WEIGHT))
    if isinstance(recipe.split, GivenSplit):
        rules += _column_rules("part", ColumnRule(allowed=["train", "valid", "test"]), schema)
    for name, rule in contract.columns.items():
        rules += _column_rules(name, rule, schema)
    for name in contract.unique:
        _known_column(name, schema, "contract.unique")
    if key := unique_key(recipe):
        rules.append(_first(", ".join(key)))
    return rules


def unique_key(recipe: Recipe) -> list[str]:
    """The columns that together identify an event; empty if duplicates are allowed.

    With labels, those and `positive` are among them: a like in the second of its listen is no duplicate of it.
    """
    unique, labels = recipe.contract.unique, recipe.interactions.labels
    return [*unique, "positive", *(LABEL + name for name in labels)] if unique and labels else unique


def entity_rules(recipe: Recipe, key: str, schema: Mapping[str, pl.DataType]) -> list[RowRule]:
    """The rules of the items or the users table with the id column `key`."""
    rules = [*_id_rules(recipe, key, f"{key.removesuffix('_id')}s", schema), _first(key)]
    if key == "item_id":
        rules += _availability_rules(schema)
    given = recipe.features.item.embedding
    if key == "item_id" and given is not None:
        values = pl.col(_known_column(given.name, schema, "features.item.embedding.name"))
        if not isinstance(schema[given.name], pl.List | pl.Array):
            raise DataError(
                f"features.item.embedding.name: {given.name!r} is {schema[given.name]}, not lists of numbers; "
                "use a column of lists"
            )
        lists = values if isinstance(schema[given.name], pl.List) else values.arr.to_list()
        wrong = f"{given.name} has not the length {given.dim} of features.item.embedding.dim"
        rules.append(_between(f"length of {given.name}", lists.list.len().cast(pl.Int64), wrong, given.dim, given.dim))
        finite = lists.list.eval(pl.element().is_finite().fill_null(value=False)).list.all()
        rules.append(_in_set(f"{given.name} finite", finite, f"{given.name} holds NaN, infinity or null", [True]))
    return rules


def _availability_rules(schema: Mapping[str, pl.DataType]) -> list[RowRule]:
    """The rules of the availability columns that the items table has."""
    names = [name for name in AVAILABLE if name in schema]
    rules = [_in_set(name, pl.col(name) != UNREADABLE, f"{name} cannot be read as a time", [True]) for name in names]
    if len(names) == len(AVAILABLE):
        start, end = (pl.col(name) for name in AVAILABLE)
        wrong = (end < start) & (start != UNREADABLE) & (end != UNREADABLE)
        rules.append(
            _in_set("available_from to available_until", ~wrong, "available_until is before available_from", [True])
        )
    return rules


def embedding_lengths(recipe: Recipe, tables: Path) -> dict[int, int]:
    """The number of items by the length of their embedding, most frequent first; empty if all lengths are correct."""
    given = recipe.features.item.embedding
    if given is None:
        return {}
    items = canonical.scan(tables, "items")
    values = pl.col(given.name)
    lists = values if isinstance(items.collect_schema()[given.name], pl.List) else values.arr.to_list()
    counts = items.select(length=lists.list.len().cast(pl.Int64)).drop_nulls().group_by("length").len()
    found = dict(counts.sort("len", "length", descending=True).collect(engine="streaming").iter_rows())
    return {} if set(found) <= {given.dim} else found


def latest_second(recipe: Recipe) -> int:
    """The latest allowed time of an event, in seconds since the epoch."""
    latest = recipe.contract.latest
    return int(time.time()) if latest == "now" else seconds_of(latest, "contract.latest")


def seconds_of(date: str, where: str) -> int:
    """Seconds since the epoch of an ISO date or time, in UTC by default. Raises DataError that names `where`."""
    try:
        moment = dt.datetime.fromisoformat(date)
    except ValueError:
        raise DataError(f"{where}: {date!r} is not an ISO date; write it like 2024-01-31") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp())


def _id_rules(recipe: Recipe, column: str, table: str, schema: Mapping[str, pl.DataType]) -> list[RowRule]:
    if schema[column] != pl.String:
        return [_not_null(column, pl.col(column), f"{column} is missing or cannot be read")]
    size = pl.col(column).str.len_bytes().cast(pl.Int64)
    wrong = f"{column} is empty or longer than {MAX_KEY_BYTES} bytes"
    rules = [
        _not_null(column, size, f"{column} is missing or cannot be read"),
        _between(column, size, wrong, 1, MAX_KEY_BYTES),
    ]
    if not _says_nulls(recipe, table):
        is_word = pl.col(column).str.strip_chars().str.to_lowercase().is_in(_NULL_WORDS)
        reason = (
            f"{column} is a word for a missing value; list it under `nulls` of source.{table}, "
            "or write `nulls: []` there if it is a valid id"
        )
        rules.append(_in_set(f"{column} is there", ~is_word, reason, [True]))
    return rules


def _says_nulls(recipe: Recipe, table: str) -> bool:
    """Whether the recipe declares `nulls` for every file with these ids."""
    source = recipe.source
    if not isinstance(source, FilesSource):
        return True
    one = source.items if table == "items" else source.users if table == "users" else None
    files = [one] if one is not None else source.events
    return all(file.nulls is not None for file in files)


def _column_rules(name: str, rule: ColumnRule, schema: Mapping[str, pl.DataType]) -> list[RowRule]:
    where = f"contract.columns.{name}"
    dtype = schema[_known_column(name, schema, where)]
    rules = [] if rule.nullable else [_not_null(name, _seen(name, dtype), f"{name} is missing or cannot be read")]
    if rule.min is not None or rule.max is not None:
        if not dtype.is_numeric():
            raise DataError(f"{where}: min and max need numbers, but the column is {dtype}; use allowed, or cast it")
        low, high = "" if rule.min is None else f"{rule.min:g}", "" if rule.max is None else f"{rule.max:g}"
        reason = f"{name} is not in {low}..{high}"
        rules.append(_between(name, _seen(name, dtype), reason, rule.min, rule.max))
    if rule.allowed is not None:
        if not _comparable(rule.allowed, dtype):
            raise DataError(f"{where}.allowed: {rule.allowed} cannot be compared with a column of {dtype}")
        shown = ", ".join(map(str, rule.allowed[:5])) + (", ..." if len(rule.allowed) > 5 else "")
        rules.append(_in_set(name, _seen(name, dtype), f"{name} is not one of {shown}", rule.allowed))
    return rules


def _seen(name: str, dtype: pl.DataType) -> pl.Expr:
    """A column for the rules: numbers and booleans unchanged, text as categories, other types as 1 or null."""
    if dtype.is_numeric() or dtype == pl.Boolean:
        return pl.col(name)
    if dtype == pl.String or isinstance(dtype, pl.Categorical | pl.Enum):
        return pl.col(name).cast(pl.Categorical)
    return pl.when(pl.col(name).is_not_null()).then(1.0)


def _comparable(allowed: list[str | int | bool], dtype: pl.DataType) -> bool:
    if dtype == pl.Boolean:
        return all(isinstance(value, bool) for value in allowed)
    if dtype.is_numeric():
        return all(isinstance(value, int) and not isinstance(value, bool) for value in allowed)
    words = dtype == pl.String or isinstance(dtype, pl.Categorical | pl.Enum)
    return words and all(isinstance(value, str) for value in allowed)


def _known_column(name: str, schema: Mapping[str, pl.DataType], where: str) -> str:
    if name not in schema:
        near = difflib.get_close_matches(name, schema, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise DataError(f"{where}: there is no column {name!r}; {hint}there are: {', '.join(schema)}")
    return name


def _not_null(column: str, sees: pl.Expr, reason: str) -> RowRule:
    return RowRule(column, sees, reason, gxe.ExpectColumnValuesToNotBeNull(column=column, **_shown(reason)))


def _between(
    column: str, sees: pl.Expr, reason: str, smallest: float | None = None, largest: float | None = None
) -> RowRule:
    expectation = gxe.ExpectColumnValuesToBeBetween(
        column=column, min_value=smallest, max_value=largest, **_shown(reason)
    )
    return RowRule(column, sees, reason, expectation)


def _in_set(column: str, sees: pl.Expr, reason: str, allowed: list[Any]) -> RowRule:
    expectation = gxe.ExpectColumnValuesToBeInSet(column=column, value_set=allowed, **_shown(reason))
    return RowRule(column, sees, reason, expectation)


def _first(key: str) -> RowRule:
    return _in_set(f"first of {key}", pl.col(FIRST), f"a row before has the same {key}", [True])


def _shown(reason: str) -> dict[str, str]:
    """The description for the data docs, from the reason; it is interpreted as markup."""
    return {"description": html.escape(f"No row where {reason}."), "severity": "warning"}
