"""Tables in Parquet, CSV or JSON lines."""

import glob
import json
from collections.abc import Collection
from pathlib import Path

import polars as pl

from shortlist.data.sources.csv_types import typed
from shortlist.data.sources.declared import declared
from shortlist.data.sources.delimited import check_utf8, scan_csv
from shortlist.data.sources.errors import SourceError, missing_column
from shortlist.data.sources.header import check_names
from shortlist.data.sources.locate import Found, find
from shortlist.data.sources.parquet import num_rows, scan_parquet
from shortlist.data.sources.partitions import with_partitions
from shortlist.data.sources.plain import Format, format_of, make_plain
from shortlist.data.sources.raw import JoinedTable, RawTable, RawTables
from shortlist.data.sources.row_filter import filtered
from shortlist.recipe import DataFile, FilesSource, TableFile


def read_files(source: FilesSource, scratch: Path, memory_gb: float) -> RawTables:
    """The tables of a files source. Raises SourceError; copies and decompressed files are stored below `scratch`."""
    files: list[Found] = []
    left_out: dict[str, pl.LazyFrame] = {}

    def scan(table: DataFile, where: str) -> pl.LazyFrame:
        found = find(table.path, scratch)
        files.extend(found)
        frame = scan_table(found, table, scratch / where, memory_gb)
        if table.where is None:
            return frame
        kept = filtered(frame, table.where, f"source.{where}.where", table.path)
        left_out[f"source.{where}"] = kept.left_out
        return kept.frame

    def read(table: TableFile, where: str) -> RawTable:
        frame, joined = scan(table, where), None
        if table.join is not None:
            other = table.join
            joined = JoinedTable(scan(other, f"{where}.join"), other.path, other.columns, other.by)
        return RawTable(
            frame, table.path, f"source.{where}", table.columns, joined, table.explode, distinct=table.distinct
        )

    return RawTables(
        events=[read(table, f"events.{i}") for i, table in enumerate(source.events)],
        items=None if source.items is None else read(source.items, "items"),
        users=None if source.users is None else read(source.users, "users"),
        files=files,
        left_out=left_out,
    )


def scan_table(files: list[Found], table: DataFile, scratch: Path, memory_gb: float) -> pl.LazyFrame:
    """One frame over all files, with the columns of their folders; `memory_gb` limits the size of Parquet row groups.

    Files without rows are ignored, including their columns. The others must have the same columns, except that JSON
    lines may omit keys. Raises SourceError.
    """
    parts = [(file, make_plain(file, table, scratch / str(i))) for i, file in enumerate(files)]
    read = [(original, file) for original, file in parts if file is not None]
    if not read:
        more = f"all {len(files)} files of the table are" if files[1:] else "the file is"
        raise SourceError(f"{files[0].name}: {more} empty")
    if format_of(read[0][0], table) == "parquet":
        read = [one for one in read if num_rows(one[1])] or read[:1]
    originals = [original for original, _ in read]
    frames = [_scan(file, original, table, scratch / f"{i}.d", memory_gb) for i, (original, file) in enumerate(read)]
    for frame, original in zip(frames, originals, strict=True):
        check_names(frame.collect_schema().names(), original.name)
    kind = format_of(originals[0], table)
    frames = with_partitions(frames, originals, text=kind == "csv")
    frames = [declared(frame, original, table) for frame, original in zip(frames, originals, strict=True)]
    frame = _together(frames, originals, kind) if frames[1:] else frames[0]
    return typed(frame, table.types) if kind == "csv" else frame


def _together(frames: list[pl.LazyFrame], files: list[Found], kind: Format) -> pl.LazyFrame:
    schemas = [frame.collect_schema() for frame in frames]
    names = schemas[0].names()
    for file, schema in zip(files[1:], schemas[1:], strict=True):
        for name in names if kind != "jsonl" else []:
            if name not in schema:
                raise missing_column(files[0].name, name, file.name, schema.names())
    if kind == "jsonl":
        frame = pl.concat(frames, how="diagonal_relaxed")
    else:
        frame = pl.concat([frame.select(names) for frame in frames], how="vertical_relaxed")
    try:
        frame.collect_schema()
    except pl.exceptions.PolarsError:
        raise _different_types(files, schemas) from None
    return frame


def _different_types(files: list[Found], schemas: list[pl.Schema]) -> SourceError:
    """The error for the first column with incompatible types in two files."""
    for file, schema in zip(files[1:], schemas[1:], strict=True):
        for name, dtype in schemas[0].items():
            other = schema.get(name, dtype)
            if other != dtype and not (other.is_numeric() and dtype.is_numeric()):
                return SourceError(
                    f"{file.name}: the column {name!r} has the type {other}, in {files[0].name} {dtype}; use one type"
                )
    return SourceError(
        f"{files[0].name} and the other files of the table have columns of different types; use one type"
    )


def _scan(file: Found, original: Found, table: DataFile, scratch: Path, memory_gb: float) -> pl.LazyFrame:
    match format_of(original, table):
        case "csv":
            return scan_csv(file, table)
        case "jsonl":
            return scan_jsonl(file, [name for name, kind in table.types.items() if kind == "text"])
        case "parquet":
            return scan_parquet(file, scratch, memory_gb)


def scan_jsonl(file: Found, texts: Collection[str] = ()) -> pl.LazyFrame:
    """One object per line; the type of a column fits all its values, and the columns `texts` are text.

    Raises SourceError with the number of an invalid line.
    """
    try:
        # scan_ndjson has no `glob=False`, so wildcards are escaped.
        path = glob.escape(str(file.path))
        frame = pl.scan_ndjson(path, infer_schema_length=None)
        if there := set(texts) & set(frame.collect_schema().names()):
            # Read again as text, since a double has lost digits.
            as_text = dict.fromkeys(there, pl.String)
            frame = pl.scan_ndjson(path, infer_schema_length=None, schema_overrides=as_text)
        frame.select(pl.len()).collect(engine="streaming")
    except pl.exceptions.PolarsError:
        check_utf8(file)
        with file.path.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, 1):
                _check_object(file, number, line)
        raise
    return frame


def _check_object(file: Found, number: int, line: str) -> None:
    try:
        value = json.loads(line) if line.strip() else {}
    except json.JSONDecodeError as error:
        raise SourceError(f"{file.name}: line {number} is not JSON: {error.msg} at character {error.pos + 1}") from None
    if not isinstance(value, dict):
        raise SourceError(f"{file.name}: line {number} is a {type(value).__name__}; write one JSON object per line")
