"""Reads only the rows that are new since the last run; the others are kept in Parquet files.

    <keep>/<digest>/state.json      the column's largest value, and the files with their rows
    <keep>/<digest>/*.parquet       the rows as they were read, one file a read and part

The digest is that of the place of the database, the query and the column: another query has a folder of its own. All
rows are read again when the database has another number of rows up to the kept value than the files, which happens
when rows were deleted, were added late with a smaller value, or have moved up because the column is a time of change.
A row that was changed without a change of the column is not noticed.
"""

import datetime as dt
import hashlib
import json
import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from shortlist.data.sources.database import statement
from shortlist.data.sources.database.download import Query, download
from shortlist.data.sources.errors import SourceError, missing_column
from shortlist.progress import say
from shortlist.recipe import Incremental, Partition

_STATE = "state.json"
_TIMES = {"datetime": dt.datetime.fromisoformat, "date": dt.date.fromisoformat}


@dataclass(frozen=True)
class State:
    """What a run has read."""

    last: Any
    """The largest value of the column: an int, a date, a datetime or a text."""
    files: dict[str, int]
    """File in the folder -> its number of rows."""

    def write(self, folder: Path) -> None:
        kind = type(self.last).__name__
        last = self.last if isinstance(self.last, int | str) else self.last.isoformat()
        draft = folder / f".{uuid.uuid4().hex}.json"
        draft.write_text(json.dumps({"last": last, "type": kind, "files": self.files}, indent=1) + "\n")
        draft.replace(folder / _STATE)


def read_state(folder: Path) -> State | None:
    """What is kept; None if nothing is, or if a file is missing or damaged."""
    try:
        found = json.loads((folder / _STATE).read_text())
        if any(pq.read_metadata(folder / file).num_rows != rows for file, rows in found["files"].items()):
            return None
        return State(_TIMES.get(found["type"], lambda text: text)(found["last"]), found["files"])
    except (OSError, ValueError, KeyError):
        return None


def folder_of(query: Query, incremental: Incremental) -> Path:
    key = json.dumps([query.address.shown, query.sql, incremental.column])
    return Path(incremental.keep).expanduser() / hashlib.sha256(key.encode()).hexdigest()[:16]


def read_new(query: Query, incremental: Incremental, partition: Partition | None, scratch: Path) -> list[Path]:
    """Files with all rows, below `scratch`; only the new ones are read from the database. Raises SourceError.

    The state is replaced after the new rows are complete, so that a run that fails leaves what was kept.
    """
    folder = folder_of(query, incremental)
    folder.mkdir(parents=True, exist_ok=True)
    state = _still_valid(query, incremental, read_state(folder))
    column = statement.name(incremental.column)
    conditions = [] if state is None else [f"{column} > {statement.literal(state.last)}"]
    new = download(query, conditions, partition, scratch / "new")
    if state is not None and _schema(new[0]) != _schema(folder / next(iter(state.files))):
        say(f"{query.where}: the columns of the query have changed, so all rows are read again")
        state, new = None, download(query, [], partition, scratch / "new")
    last, counts = _largest(query, incremental, new), [pq.read_metadata(file).num_rows for file in new]
    if state is None and last is None:
        return new  # no rows, so nothing to keep
    files = {} if state is None else dict(state.files)
    for file, rows in zip(new, counts, strict=True):
        if rows:
            kept = f"{uuid.uuid4().hex}.parquet"
            _copy(file, folder / kept)
            files[kept] = rows
    State(state.last if last is None and state is not None else last, files).write(folder)
    # Links, since another run may remove the files of an older state.
    mine = [scratch / f"kept-{at:04}.parquet" for at in range(len(files))]
    for kept, link in zip(files, mine, strict=True):
        _copy(folder / kept, link)
    for file in folder.glob("*.parquet"):
        if file.name not in files:
            file.unlink()
    say(f"{query.where}: {sum(counts):,} rows are new, {sum(files.values()) - sum(counts):,} were kept in {folder}")
    return mine


def _still_valid(query: Query, incremental: Incremental, state: State | None) -> State | None:
    """The state, unless the rows that it stands for are others now."""
    if state is None:
        return None
    column = statement.name(incremental.column)
    (there,) = query.stats("count(*)", [f"{column} <= {statement.literal(state.last)}"])
    kept = sum(state.files.values())
    if there == kept:
        return state
    say(f"{query.where}: {kept:,} rows were kept, {there:,} are there up to {state.last}: all rows are read again")
    return None


def _largest(query: Query, incremental: Incremental, files: list[Path]) -> Any:
    """The largest value of the column in the new rows; None without rows. Raises SourceError."""
    where, name = f"{query.where}.incremental.column", incremental.column
    frame = pl.concat([pl.scan_parquet(file, glob=False) for file in files])
    schema = frame.collect_schema()
    if name not in schema:
        raise missing_column(where, name, query.address.shown, schema.names())
    kind, texts = schema[name], query.address.scheme == "sqlite"
    if not (kind.is_integer() or isinstance(kind, pl.Datetime) or kind == pl.Date or (texts and kind == pl.String)):
        raise SourceError(f"{where}: {name!r} is {kind}; use a column of whole numbers or timestamps")
    last, empty = frame.select(pl.col(name).max(), pl.col(name).null_count().alias("empty")).collect().row(0)
    if empty:
        raise SourceError(f"{where}: {name!r} is NULL in {empty:,} rows, which no later run could order; use another")
    return last


def _schema(file: Path) -> Any:
    return pq.read_schema(file).remove_metadata()


def _copy(file: Path, to: Path) -> None:
    """A hard link where both are on one disk; else a copy that appears when it is complete."""
    try:
        os.link(file, to)
    except OSError:
        draft = to.with_suffix(".partial")
        shutil.copyfile(file, draft)
        draft.replace(to)
