"""The validate step: from canonical tables to valid rows, quarantined rows with reasons, and data docs."""

from pathlib import Path
from typing import Any

import polars as pl

from shortlist.data import tables as canonical
from shortlist.data.validate.docs import render_docs
from shortlist.data.validate.limit import Limit
from shortlist.data.validate.limits import check_limits, contract_limits, type_limits
from shortlist.data.validate.profile import Profile, profile_events
from shortlist.data.validate.rows import Checked, check_rows
from shortlist.data.validate.rules import DataError, RowRule, embedding_lengths, entity_rules, event_rules, unique_key
from shortlist.data.validate.suite import Suite
from shortlist.progress import say
from shortlist.recipe import Recipe
from shortlist.step_result import StepResult

_KEYS: dict[canonical.Table, list[str]] = {"items": ["item_id"], "users": ["user_id"]}


def validate(recipe: Recipe, tables: Path, out_clean: Path, out_quarantine: Path, out_docs: Path) -> StepResult:
    """Validate the tables against the recipe's contract.

    Rows that break a rule go to `out_quarantine` with their reasons and their number in the table. If a table rule is
    broken, this raises DataError; the quarantine and the page are still written, but not the clean tables. `out_docs`
    is an HTML file.

    An event is kept even if the row of its item is quarantined, provided that the id itself is valid: only the
    attributes of the item are then unknown.
    """
    schemas = {table: dict(canonical.scan(tables, table).collect_schema()) for table in ("events", "items", "users")}
    types = type_limits(schemas)
    suite, broken = check_limits("columns", types)
    columns = (suite, "The columns and types that all other rules need.")
    if broken:
        _write_docs(recipe, out_docs, [columns])
        raise _error(broken)
    with canonical.disk_errors(out_clean), canonical.new_folder(out_clean) as (clean, scratch):
        with canonical.new_folder(out_quarantine) as (quarantine, _):
            checked = _check(recipe, tables, schemas, clean, quarantine, scratch)
        profile = profile_events(
            clean / "events.parquet",
            has_times=recipe.interactions.time_unit != "row",
            labels=list(recipe.interactions.labels),
        )
        lengths = embedding_lengths(recipe, tables)
        limits = contract_limits(recipe, checked, profile, out_quarantine, lengths)
        suite, broken = check_limits("tables", limits)
        whole = (suite, "Table rules; a broken rule stops the run.")
        _write_docs(recipe, out_docs, [whole, *((one.suite, _about(one)) for one in checked.values()), columns])
        if broken:
            raise _error(broken)
    result = _step_result(checked, profile, types + limits)
    say(", ".join(f"quarantined {one.quarantined:,} of {one.rows:,} {one.table}" for one in checked.values()))
    return result


def _check(
    recipe: Recipe,
    tables: Path,
    schemas: dict[str, dict[str, pl.DataType]],
    clean: Path,
    quarantine: Path,
    scratch: Path,
) -> dict[str, Checked]:
    """Check the row rules of every table."""
    known = canonical.scan(tables, "items").select("item_id").unique().drop_nulls().collect().to_series()
    plans: list[tuple[canonical.Table, list[str], list[RowRule]]] = [
        ("events", unique_key(recipe), event_rules(recipe, schemas["events"], known)),
        ("items", _KEYS["items"], entity_rules(recipe, "item_id", schemas["items"])),
        ("users", _KEYS["users"], entity_rules(recipe, "user_id", schemas["users"])),
    ]
    checked: dict[str, Checked] = {}
    for table, key, rules in plans:
        bad = canonical.path(quarantine, table)
        checked[table] = check_rows(
            canonical.path(tables, table),
            key,
            rules,
            canonical.path(clean, table),
            bad,
            scratch,
            recipe.resources.of("validate").memory_gb,
        )
        if table != "events" and not checked[table].quarantined:
            bad.unlink()
    return checked


def _error(broken: list[Limit]) -> DataError:
    count = "a rule" if len(broken) == 1 else f"{len(broken)} rules"
    return DataError(f"the data breaks {count}\n" + "\n".join(f"  {limit.message}" for limit in broken))


def _about(checked: Checked) -> str:
    share = checked.quarantined / max(checked.rows, 1)
    return f"{checked.rows:,} rows, of which {checked.quarantined:,} ({100 * share:.3g} %) are in quarantine."


def _write_docs(recipe: Recipe, to: Path, pages: list[tuple[Suite, str]]) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    partial = to.with_name(f".{to.name}.partial")
    try:
        partial.write_text(render_docs(f"Data of {recipe.name}", pages), encoding="utf-8")
        partial.replace(to)
        say(f"data docs: {to}")
    finally:
        partial.unlink(missing_ok=True)


def _step_result(checked: dict[str, Checked], profile: Profile, limits: list[Limit]) -> StepResult:
    events = checked["events"]
    rules: list[dict[str, Any]] = [
        {
            "table": one.table,
            "column": rule.column,
            "rule": rule.reason,
            "checked": one.rows,
            "failed": failed,
            "share": failed / max(one.rows, 1),
        }
        for one in checked.values()
        for rule, failed in zip(one.rules, one.failed, strict=True)
    ]
    columns = [
        {
            "table": one.table,
            "column": column,
            "null_share": nulls / max(one.rows, 1),
            "not_finite": one.not_finite.get(column, 0),
        }
        for one in checked.values()
        for column, nulls in one.nulls.items()
    ]
    return StepResult(
        rows_in={one.table: one.rows for one in checked.values()},
        rows_out={one.table: one.rows - one.quarantined for one in checked.values()}
        | {f"quarantined_{one.table}": one.quarantined for one in checked.values()},
        metrics={
            "quarantined_share": events.quarantined / events.rows,
            "duplicates": events.repeated,
            "num_users": profile.users,
            "num_items": profile.items,
            "positive_share": profile.positives / max(profile.events, 1),
        },
        details={
            "rules": rules,
            "limits": [{"rule": limit.name, "asked": limit.required, "observed": limit.observed} for limit in limits],
            "columns": columns,
            **profile.details,
        },
    )
