"""Ingest: raw data of any source -> the canonical tables, streamed."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from shortlist.facts import StepFacts
from shortlist.progress import say
from shortlist.recipe import GivenSplit, Recipe
from shortlist.sources import RawTable, RawTables, SourceError, bind, bound_columns, broken_file, read, tables_named
from shortlist.sources.errors import missing_column, named
from shortlist.sources.raw import JoinedTable
from shortlist.tables import Table, Wanted, disk_errors, memory_budget, new_folder, path, wanted_columns

_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_TEXT_TIMES = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d")


def ingest(recipe: Recipe, out: Path) -> StepFacts:
    """Write events.parquet, items.parquet and users.parquet (see `shortlist.tables`) to the folder `out`.

    The folder appears complete or not at all. Rows keep the order of the files; nothing is judged or dropped here.
    Raises SourceError, with one message, for data that cannot be read or a recipe that does not fit it, and
    FullDiskError.
    """
    with disk_errors(out), new_folder(out) as (folder, scratch), memory_budget(recipe.resources.of("ingest").memory_gb):
        raw = read(recipe, scratch)
        say(f"reading {tables_named(raw.events)}")
        with _explained(raw):
            details = _write(recipe, raw, folder)
        rows = {table: pq.read_metadata(path(folder, table)).num_rows for table in ("events", "items", "users")}
        if not rows["events"]:
            raise SourceError(f"{tables_named(raw.events)}: there is not a single row")
        files = [
            {"name": file.name, "bytes": file.path.stat().st_size, "sha256": _sha256(file.path)} for file in raw.files
        ]
    together = hashlib.sha256("".join(str(file["sha256"]) for file in files).encode()).hexdigest()
    say(", ".join(f"{rows[table]:,} {table}" for table in rows) + f" from {len(files)} files")
    return StepFacts(
        rows_in={"events": rows["events"]},
        rows_out=rows,
        details={"files": files, "fingerprint": together, "columns": details},
    )


def _write(recipe: Recipe, raw: RawTables, folder: Path) -> dict[str, dict[str, str]]:
    """Write the three tables; their columns and types."""
    text_users = any(_is_text(_mapped(table), "user_id") for table in [*raw.events, *_some(raw.users)])
    text_items = any(_is_text(_mapped(table), "item_id") for table in [*raw.events, *_some(raw.items)])
    events = pl.concat(
        [_events(table, recipe, text_users=text_users, text_items=text_items) for table in raw.events],
        how="vertical_relaxed",
    )
    if recipe.interactions.time_unit == "row":
        numbered = events.with_row_index("time").with_columns(pl.col("time").cast(pl.Int64))
        events = numbered.select(*events.collect_schema().names()[:2], "time", *events.collect_schema().names()[2:])
    _sink(events, path(folder, "events"))
    for table, given, text in (("items", raw.items, text_items), ("users", raw.users, text_users)):
        key = f"{table.removesuffix('s')}_id"
        wanted = wanted_columns(recipe, "items" if table == "items" else "users")
        if given is not None:
            frame = _features(given, key, wanted, text=text)
        elif wanted:
            raise SourceError(f"{wanted[0].where}: {wanted[0].name!r} needs a table of {table}; add source.{table}")
        else:
            frame = pl.scan_parquet(path(folder, "events")).select(key).drop_nulls().unique().sort(key)
        _sink(frame, folder / f"{table}.parquet")
    names: tuple[Table, ...] = ("events", "items", "users")
    return {name: {k: str(v) for k, v in pl.read_parquet_schema(path(folder, name)).items()} for name in names}


def _events(table: RawTable, recipe: Recipe, *, text_users: bool, text_items: bool) -> pl.LazyFrame:
    frame, meaning = _mapped(table), recipe.interactions
    schema = frame.collect_schema()
    for name in ("user_id", "item_id") if meaning.time_unit == "row" else ("user_id", "item_id", "time"):
        _require(name, table, schema)
    positive = _boolean(meaning.positive, "interactions.positive", frame, table)
    history = positive
    if meaning.history is not None:
        history = _boolean(meaning.history, "interactions.history", frame, table)
    weight = bind(meaning.weight, schema, where="interactions.weight", file=table.name)
    columns = [_id("user_id", schema, text=text_users), _id("item_id", schema, text=text_items)]
    if meaning.time_unit != "row":
        columns.append(_seconds(pl.col("time"), schema["time"], _PER_SECOND[meaning.time_unit]).alias("time"))
    columns += [
        positive.alias("positive"),
        history.alias("in_history"),
        weight.cast(pl.Float32, strict=False).alias("weight"),
    ]
    if isinstance(recipe.split, GivenSplit):
        part = bind(recipe.split.part, schema, where="split.part", file=table.name)
        columns.append(part.cast(pl.String, strict=False).alias("part"))
    return frame.select(*columns, *_wanted(wanted_columns(recipe, "events"), table, schema))


def _features(table: RawTable, key: str, wanted: list[Wanted], *, text: bool) -> pl.LazyFrame:
    frame = _mapped(table)
    schema = frame.collect_schema()
    _require(key, table, schema)
    if table.distinct:
        frame = frame.unique(key, keep="first", maintain_order=True)
    return frame.select(_id(key, schema, text=text), *_wanted(wanted, table, schema))


def _mapped(table: RawTable) -> pl.LazyFrame:
    """The raw columns, and ours made of them; ours wins where the names are the same."""
    schema = table.frame.collect_schema()
    frame = table.frame.with_columns(**bound_columns(dict(table.columns), schema, where=table.where, file=table.name))
    if table.joined is not None:
        frame = _joined(frame, table, table.joined)
    if table.explode is not None:
        frame = _exploded(frame, table, table.explode)
    return frame


def _joined(frame: pl.LazyFrame, table: RawTable, other: JoinedTable) -> pl.LazyFrame:
    """The frame with the columns that another file adds, null where it knows nothing."""
    schema = other.frame.collect_schema()
    ours = bound_columns(dict(other.columns), schema, where=f"{table.where}.join", file=other.name)
    right = other.frame.select(**ours)
    for file, names in ((table.name, frame.collect_schema().names()), (other.name, list(ours))):
        if other.by not in names:
            raise missing_column(f"{table.where}.join.by", other.by, file, names)
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
            f"{table.where}.explode: {name!r} of {table.name} is {schema[name]}, not a list; make one in `columns`, "
            "like CAST(STRING_TO_ARRAY(x, ' ') AS BIGINT[])"
        )
    return frame.explode(name, empty_as_null=False, keep_nulls=False)


def _require(name: str, table: RawTable, schema: pl.Schema) -> None:
    if name not in schema:
        raise SourceError(
            f"{table.where}.columns: {table.name} gives no {name!r}; add `{name}: <expression>`. "
            f"It has: {named(schema.names())}"
        )


def _wanted(wanted: list[Wanted], table: RawTable, schema: pl.Schema) -> Iterator[pl.Expr]:
    for column in wanted:
        if column.name not in schema:
            raise missing_column(column.where, column.name, table.name, schema.names())
        value, kind = pl.col(column.name), schema[column.name]
        if column.kind == "categorical":
            yield _categorical(value, kind)
        elif column.kind == "numeric":
            yield value.cast(pl.Float64, strict=False)
        elif column.kind == "title":
            yield value.cast(pl.String, strict=False)
        elif column.kind == "text":
            words = value.cast(pl.List(pl.String)).list.join(" ") if isinstance(kind, pl.List | pl.Array) else value
            yield words.cast(pl.String, strict=False)
        elif column.kind == "embedding":
            if not isinstance(kind, pl.List | pl.Array):
                raise SourceError(f"{column.where}: {column.name!r} of {table.name} is {kind}, not a list of numbers")
            yield value.cast(pl.List(pl.Float32), strict=False)
        else:
            yield value


def _categorical(value: pl.Expr, kind: pl.DataType) -> pl.Expr:
    if isinstance(kind, pl.List | pl.Array):
        inner = kind.inner
        assert isinstance(inner, pl.DataType)
        return value.cast(pl.List(pl.Int64 if _whole(inner) else pl.String), strict=False)
    return value.cast(pl.Int64 if _whole(kind) else pl.String, strict=False)


def _whole(kind: pl.DataType) -> bool:
    return kind.is_integer() or kind == pl.Boolean


def _is_text(frame: pl.LazyFrame, name: str) -> bool:
    kind = frame.collect_schema().get(name, pl.Int64())
    return not kind.is_numeric() and kind != pl.Null


def _id(name: str, schema: pl.Schema, *, text: bool) -> pl.Expr:
    """An id as Int64, or as String when any table has text for it; a fraction is no id and becomes null."""
    value, kind = pl.col(name), schema[name]
    if kind.is_float() or kind.is_decimal():
        value = pl.when(value == value.floor()).then(value).cast(pl.Int64, strict=False)
    return value.cast(pl.String if text else pl.Int64, strict=False).alias(name)


def _seconds(value: pl.Expr, kind: pl.DataType, per_second: int) -> pl.Expr:
    """Whole seconds since the epoch (UTC), rounded down, of numbers, dates, or text with a number or an ISO date."""
    if isinstance(kind, pl.Datetime | pl.Date):
        return value.cast(pl.Datetime("us", getattr(kind, "time_zone", None))).dt.epoch("s")
    if kind.is_integer():
        return value.cast(pl.Int64, strict=False) // per_second
    if kind == pl.String:
        plain = value.str.strip_chars_end("Z")
        texts = [plain.str.to_datetime(form, time_unit="us", strict=False).dt.epoch("s") for form in _TEXT_TIMES]
        return pl.coalesce(value.cast(pl.Int64, strict=False) // per_second, *texts)
    return (value.cast(pl.Float64, strict=False) / per_second).floor().cast(pl.Int64, strict=False)


def _boolean(sql: str, where: str, frame: pl.LazyFrame, table: RawTable) -> pl.Expr:
    value = bind(sql, frame.collect_schema(), where=where, file=table.name)
    kind = frame.select(value.alias("value")).collect_schema()["value"]
    if kind != pl.Boolean:
        raise SourceError(f"{where}: {sql!r} gives {kind}, not TRUE or FALSE; write a comparison, like `rating >= 4`")
    return value.fill_null(value=False)


def _sink(frame: pl.LazyFrame, to: Path) -> None:
    # Read once, right after: light compression, and no statistics that nobody asks for.
    frame.sink_parquet(to, compression="lz4", statistics=False, row_group_size=1 << 18)


@contextmanager
def _explained(raw: RawTables) -> Iterator[None]:
    """What Polars finds only while it reads, with the names that the user knows."""
    try:
        yield
    except (pl.exceptions.ComputeError, pl.exceptions.InvalidOperationError) as error:
        first = str(error).splitlines()[0]
        if "No space left" in first:
            raise
        broken = broken_file([file for file in raw.files if file.name.endswith((".parquet", ".pq"))])
        if broken is not None:
            raise broken from None
        hint = "; TRY_CAST gives null where CAST stops" if "conversion" in first else ""
        raise SourceError(
            f"{tables_named([*raw.events, *_some(raw.items), *_some(raw.users)])}: {first}{hint}"
        ) from None


def _some(table: RawTable | None) -> Sequence[RawTable]:
    return [] if table is None else [table]


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
