"""The ingest step: streams raw data of any source to the canonical tables."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import polars as pl
import pyarrow.parquet as pq

from shortlist.data.categories import Kind
from shortlist.data.feature_columns import common_kinds, feature_columns
from shortlist.data.sources import RawTable, RawTables, SourceError, bind, broken_file, condition, read, tables_named
from shortlist.data.sources.errors import missing_column, named
from shortlist.data.sources.hints import why_text
from shortlist.data.sources.ids import IdColumn, as_mixed, ids
from shortlist.data.sources.raw import JoinedTable
from shortlist.data.sources.times import TimeUnit, seconds
from shortlist.data.tables import (
    AVAILABLE,
    LABEL,
    TIME_AS_READ,
    UNREADABLE,
    Table,
    Wanted,
    disk_errors,
    memory_budget,
    new_folder,
    path,
    scan,
    wanted_columns,
)
from shortlist.hashing import hash_file
from shortlist.progress import say
from shortlist.recipe import GivenSplit, Recipe
from shortlist.step_result import StepResult

_T = TypeVar("_T")


def ingest(recipe: Recipe, out: Path) -> StepResult:
    """Write events.parquet, items.parquet and users.parquet (see `shortlist.data.tables`) to the folder `out`.

    The folder appears completely or not at all. Rows keep the order of the files; this step does not validate or drop
    rows. Raises SourceError for data that cannot be read or that does not match the recipe, and FullDiskError.
    """
    with disk_errors(out), new_folder(out) as (folder, scratch), memory_budget(recipe.resources.of("ingest").memory_gb):
        raw = read(recipe, scratch)
        say(f"reading {tables_named(raw.events)}")
        with _explained(raw):
            details = _write(recipe, raw, folder)
            left_out = {where: int(count.collect(engine="streaming").item()) for where, count in raw.left_out.items()}
        rows = {table: pq.read_metadata(path(folder, table)).num_rows for table in ("events", "items", "users")}
        if not rows["events"]:
            reason = "; the `where` of the source drops all rows" if any(left_out.values()) else ""
            raise SourceError(f"{tables_named(raw.events)}: there are no rows{reason}")
        files = [
            {"name": file.name, "bytes": file.path.stat().st_size, "sha256": hash_file(file.path)} for file in raw.files
        ]
    together = hashlib.sha256("".join(str(file["sha256"]) for file in files).encode()).hexdigest()
    say(", ".join(f"{rows[table]:,} {table}" for table in rows) + f" from {len(files)} files")
    for where, count in left_out.items():
        say(f"{where}.where dropped {count:,} rows")
    return StepResult(
        rows_in={"events": rows["events"]},
        rows_out=rows,
        details={"files": files, "fingerprint": together, "columns": details, "left_out": left_out},
    )


def _write(recipe: Recipe, raw: RawTables, folder: Path) -> dict[str, dict[str, str]]:
    """Write the three tables; returns their columns and types."""
    logs = [(table, _mapped(table)) for table in raw.events]
    described = {
        name: None if given is None else (given, _mapped(given))
        for name, given in (("items", raw.items), ("users", raw.users))
    }
    user_ids, item_ids = (
        _ids(key, [*logs, *_some(described[name])]) for key, name in (("user_id", "users"), ("item_id", "items"))
    )
    kinds = common_kinds(recipe, logs)
    events = pl.concat(
        [
            _events(table, frame, recipe, [user, item], kinds)
            for (table, frame), user, item in zip(logs, user_ids, item_ids, strict=False)
        ],
        how="diagonal_relaxed",  # only tables with times as text have the column of unparsed times
    )
    if recipe.interactions.time_unit == "row":
        numbered = events.with_row_index("time").with_columns(pl.col("time").cast(pl.Int64))
        events = numbered.select(*events.collect_schema().names()[:2], "time", *events.collect_schema().names()[2:])
    _sink(events, path(folder, "events"))
    for table, expressions in (("items", item_ids), ("users", user_ids)):
        key = f"{table.removesuffix('s')}_id"
        wanted = wanted_columns(recipe, "items" if table == "items" else "users")
        if (given := described[table]) is not None:
            available = _availability(recipe, given[1]) if table == "items" else []
            frame = _features(*given, [expressions[-1], *available], key, wanted)
        elif wanted:
            raise SourceError(f"{wanted[0].where}: {wanted[0].name!r} needs a table of {table}; add source.{table}")
        else:
            frame = scan(folder, "events").select(key).drop_nulls().unique().sort(key)
        _sink(frame, folder / f"{table}.parquet")
    names: tuple[Table, ...] = ("events", "items", "users")
    return {name: {k: str(v) for k, v in scan(folder, name).collect_schema().items()} for name in names}


def _ids(key: str, tables: Sequence[tuple[RawTable, pl.LazyFrame]]) -> list[pl.Expr]:
    """The expressions of an id in all tables, with a common type."""
    for table, frame in tables:
        _require(key, table, frame.collect_schema())
    return ids([IdColumn(frame, key, table.where, table.name) for table, frame in tables])


def _events(
    table: RawTable, frame: pl.LazyFrame, recipe: Recipe, keys: list[pl.Expr], kinds: dict[str, Kind]
) -> pl.LazyFrame:
    meaning = recipe.interactions
    schema = frame.collect_schema()
    if meaning.time_unit != "row":
        _require("time", table, schema)
    positive = _boolean(meaning.positive, "interactions.positive", frame, table)
    history = positive
    if meaning.history is not None:
        history = _boolean(meaning.history, "interactions.history", frame, table)
    weight = _bound(meaning.weight, "interactions.weight", frame, table.name)
    columns = list(keys)
    if meaning.time_unit != "row":
        columns += _times(table, schema["time"], meaning.time_unit)
    columns += [
        positive.alias("positive"),
        history.alias("in_history"),
        *(
            _boolean(sql, f"interactions.labels.{name}", frame, table).alias(LABEL + name)
            for name, sql in meaning.labels.items()
        ),
        weight.cast(pl.Float32, strict=False).alias("weight"),
    ]
    if isinstance(recipe.split, GivenSplit):
        part = _bound(recipe.split.part, "split.part", frame, table.name)
        columns.append(part.cast(pl.String, strict=False).alias("part"))
    return frame.select(*columns, *feature_columns(wanted_columns(recipe, "events"), table, schema, kinds))


def _features(
    table: RawTable, frame: pl.LazyFrame, first: Sequence[pl.Expr], key: str, wanted: list[Wanted]
) -> pl.LazyFrame:
    schema = frame.collect_schema()
    if table.distinct:
        frame = frame.unique(key, keep="first", maintain_order=True)
    return frame.select(*first, *feature_columns(wanted, table, schema, {}))


def _availability(recipe: Recipe, frame: pl.LazyFrame) -> list[pl.Expr]:
    """The availability columns of the items table; none for data without times."""
    unit = recipe.interactions.time_unit
    if unit == "row":
        return []
    schema, found = frame.collect_schema(), []
    for name in AVAILABLE:
        if name in schema:
            moment = seconds(pl.col(name), schema[name], unit)
            wrong = pl.col(name).is_not_null() & moment.is_null()
            found.append(pl.when(wrong).then(pl.lit(UNREADABLE, pl.Int64)).otherwise(moment).alias(name))
    return found


def _mapped(table: RawTable) -> pl.LazyFrame:
    """The raw columns with our columns added; ours replace raw columns with the same name."""
    where = f"{table.where}.columns"
    columns = {ours: _bound(sql, f"{where}.{ours}", table.frame, table.name) for ours, sql in table.columns.items()}
    frame = table.frame.with_columns(**columns)
    if table.joined is not None:
        frame = _joined(frame, table, table.joined)
    if table.explode is not None:
        frame = _exploded(frame, table, table.explode)
    return frame


def _bound(sql: str, where: str, frame: pl.LazyFrame, file: str) -> pl.Expr:
    try:
        return bind(sql, frame.collect_schema(), where=where, file=file)
    except SourceError as error:
        raise SourceError(f"{error}{why_text(frame, sql)}") from None


def _joined(frame: pl.LazyFrame, table: RawTable, other: JoinedTable) -> pl.LazyFrame:
    """The frame joined with the columns of another file, null for rows without a match."""
    where = f"{table.where}.join.columns"
    ours = {name: _bound(sql, f"{where}.{name}", other.frame, other.name) for name, sql in other.columns.items()}
    right = other.frame.select(**ours)
    for file, names in ((table.name, frame.collect_schema().names()), (other.name, list(ours))):
        if other.by not in names:
            raise missing_column(f"{table.where}.join.by", other.by, file, names)
    keys = [
        IdColumn(one, other.by, where, file)
        for one, where, file in ((frame, table.where, table.name), (right, f"{table.where}.join", other.name))
    ]
    if as_mixed(keys):
        frame, right = (one.frame.with_columns(value) for one, value in zip(keys, ids(keys), strict=True))
    left = frame.drop([name for name in ours if name != other.by], strict=False)
    right = right.unique(other.by, keep="first", maintain_order=True)
    try:
        both = left.join(right, on=other.by, how="left", maintain_order="left")
        both.collect_schema()
    except pl.exceptions.PolarsError as error:
        raise SourceError(f"{table.where}.join.by: {str(error).splitlines()[0]}; CAST one of the two") from None
    return both


def _exploded(frame: pl.LazyFrame, table: RawTable, name: str) -> pl.LazyFrame:
    schema = frame.collect_schema()
    if name not in schema:
        raise missing_column(f"{table.where}.explode", name, table.name, schema.names())
    if not isinstance(schema[name], pl.List | pl.Array):
        raise SourceError(
            f"{table.where}.explode: {name!r} of {table.name} is {schema[name]}, not a list; create one in `columns`, "
            "like CAST(STRING_TO_ARRAY(x, ' ') AS BIGINT[])"
        )
    return frame.explode(name, empty_as_null=False, keep_nulls=False)


def _require(name: str, table: RawTable, schema: pl.Schema) -> None:
    if name not in schema:
        raise SourceError(
            f"{table.where}.columns: {table.name} gives no {name!r}; add `{name}: <expression>`. "
            f"It has: {named(schema.names())}"
        )


def _times(table: RawTable, kind: pl.DataType, unit: TimeUnit) -> list[pl.Expr]:
    """The column `time`, and for text that is not a time, the text itself."""
    try:
        time = seconds(pl.col("time"), kind, unit)
    except ValueError as error:
        raise SourceError(f"{table.where}.columns.time: {table.name}: 'time' {error}") from None
    if kind != pl.String:
        return [time.alias("time")]
    return [time.alias("time"), pl.when(time.is_null()).then(pl.col("time")).alias(TIME_AS_READ)]


def _boolean(sql: str, where: str, frame: pl.LazyFrame, table: RawTable) -> pl.Expr:
    return condition(_bound(sql, where, frame, table.name), frame, sql, where=where, example="rating >= 4")


def _sink(frame: pl.LazyFrame, to: Path) -> None:
    # The file is read once, directly afterwards: light compression and no statistics.
    frame.sink_parquet(to, compression="lz4", statistics=False, row_group_size=1 << 18)


@contextmanager
def _explained(raw: RawTables) -> Iterator[None]:
    """Explain errors that Polars raises only while reading, with the names of the user's files."""
    try:
        yield
    except (pl.exceptions.ComputeError, pl.exceptions.InvalidOperationError) as error:
        first = str(error).splitlines()[0]
        if "No space left" in first:
            raise
        broken = broken_file([file for file in raw.files if file.name.endswith((".parquet", ".pq"))])
        if broken is not None:
            raise broken from None
        hint = "; TRY_CAST gives null where CAST fails" if "conversion" in first else ""
        raise SourceError(
            f"{tables_named([*raw.events, *_some(raw.items), *_some(raw.users)])}: {first}{hint}"
        ) from None


def _some(table: _T | None) -> Sequence[_T]:
    return [] if table is None else [table]
