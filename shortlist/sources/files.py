"""Tables in Parquet, CSV or JSON lines."""

import json
from collections.abc import Collection
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from shortlist.recipe import DataFile, FilesSource, TableFile
from shortlist.sources.csv_types import typed
from shortlist.sources.declared import declared
from shortlist.sources.delimited import check_utf8, scan_csv
from shortlist.sources.errors import SourceError, missing_column, named
from shortlist.sources.locate import Found, find
from shortlist.sources.plain import format_of, make_plain
from shortlist.sources.raw import JoinedTable, RawTable, RawTables
from shortlist.sources.row_filter import filtered

_ROWS = 1 << 17


def read_files(source: FilesSource, scratch: Path, memory_gb: float) -> RawTables:
    """The tables of a files source. Raises SourceError; what is copied or unpacked lies below `scratch`."""
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
    """One frame over all files, which must have the same columns; `memory_gb` bounds a Parquet row group."""
    plain = [make_plain(file, table, scratch / str(i)) for i, file in enumerate(files)]
    frames = [
        declared(_scan(file, original, table, scratch, memory_gb), original, table)
        for file, original in zip(plain, files, strict=True)
    ]
    names = frames[0].collect_schema().names()
    for file, frame in zip(files[1:], frames[1:], strict=True):
        there = frame.collect_schema().names()
        for name in names:
            if name not in there:
                raise missing_column(files[0].name, name, file.name, there)
    frame = pl.concat([frame.select(names) for frame in frames], how="vertical_relaxed") if files[1:] else frames[0]
    return typed(frame, table.types) if format_of(files[0], table) == "csv" else frame


def _scan(file: Found, original: Found, table: DataFile, scratch: Path, memory_gb: float) -> pl.LazyFrame:
    match format_of(original, table):
        case "csv":
            return scan_csv(file, table)
        case "jsonl":
            return scan_jsonl(file, [name for name, kind in table.types.items() if kind == "text"])
        case "parquet":
            return scan_parquet(file, scratch, memory_gb)


def scan_jsonl(file: Found, texts: Collection[str] = ()) -> pl.LazyFrame:
    """One object a line; a column's type is what fits all its values, and that of the columns `texts` is text.

    Raises SourceError with the broken line.
    """
    try:
        frame = pl.scan_ndjson(file.path, infer_schema_length=None)
        if there := set(texts) & set(frame.collect_schema().names()):
            # Read anew: what has once been a double has lost its digits.
            as_text = dict.fromkeys(there, pl.String)
            frame = pl.scan_ndjson(file.path, infer_schema_length=None, schema_overrides=as_text)
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
        raise SourceError(f"{file.name}: line {number} is no JSON: {error.msg} at character {error.pos + 1}") from None
    if not isinstance(value, dict):
        raise SourceError(f"{file.name}: line {number} is a {type(value).__name__}; write one JSON object a line")


def scan_parquet(file: Found, scratch: Path, memory_gb: float) -> pl.LazyFrame:
    """A Parquet file; row groups too large for the memory are written anew in small ones first."""
    try:
        metadata = pq.read_metadata(file.path)
    except (OSError, ValueError) as error:
        raise SourceError(f"{file.name}: is cut off or no Parquet file ({_short(error)}); copy it again") from None
    largest = max((metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups)), default=0)
    if largest > memory_gb * 2**30 / 8:
        return pl.scan_parquet(_in_small_groups(file, scratch), glob=False)
    return pl.scan_parquet(file.path, glob=False)


def _in_small_groups(file: Found, scratch: Path) -> Path:
    """Polars decodes whole row groups; Arrow can read a part of one."""
    scratch.mkdir(parents=True, exist_ok=True)
    to = scratch / f"{file.path.stem}.grouped.parquet"
    with (
        pq.ParquetFile(file.path, buffer_size=1 << 20, pre_buffer=False) as parquet,
        pq.ParquetWriter(to, parquet.schema_arrow, compression="lz4", use_dictionary=False) as writer,
    ):
        for batch in parquet.iter_batches(batch_size=_ROWS):
            writer.write_batch(batch)
    return to


def broken_file(files: list[Found]) -> SourceError | None:
    """The first Parquet file whose data cannot be decoded, looked for after Polars has met one."""
    for file in files:
        try:
            with pq.ParquetFile(file.path, pre_buffer=False) as parquet:
                for _ in parquet.iter_batches(batch_size=_ROWS):
                    pass
        except (OSError, ValueError) as error:
            return SourceError(f"{file.name}: its data is damaged ({_short(error)}); copy it again")
    return None


def _short(error: Exception) -> str:
    return named([str(error).splitlines()[0].rstrip(".")])
