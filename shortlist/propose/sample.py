"""A look at a table: its first files and rows, the dialect they are written in, and how much there is in all."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

import polars as pl

from shortlist.data.sources import SourceError
from shortlist.data.sources.files import scan_table
from shortlist.data.sources.locate import Found, find
from shortlist.data.sources.parquet import num_rows
from shortlist.data.sources.plain import unpacked, unpacked_name
from shortlist.data.sources.sniff import NO_EXCEL
from shortlist.propose.dialect import HEAD, Dialect, guess_csv, guess_encoding, guess_format
from shortlist.recipe import DataFile

_WHOLE = 48 << 20
"""Bytes of text that are looked at whole; of a longer file, its beginning and its end."""
_END = 8 << 20
_FILES = 3
_ROWS = 500_000
_MEMORY_GB = 2.0
_EXCEL = {".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"}
_KNOWN = {"csv": (".csv", ".tsv"), "jsonl": (".jsonl", ".ndjson", ".json"), "parquet": (".parquet", ".pq")}

_T = TypeVar("_T")


@dataclass(frozen=True)
class Sample:
    """Some rows of a table."""

    path: str
    """As it was given."""
    dialect: Dialect
    frame: pl.DataFrame
    """Columns as the recipe's reader gives them."""
    rows: int
    """How many there are in all, estimated where the sample is not `whole`."""
    whole: bool
    needs_format: bool
    """Whether the ending does not tell the format."""


@dataclass
class _Piece:
    """What was taken of one file."""

    file: Found
    total: int
    taken: int


def look(path: str, scratch: Path, *, encoding: str | None = None, separator: str | None = None) -> Sample:
    """Read a sample of the table at `path`. Raises SourceError with the place and the mend.

    What is copied or unpacked lies below `scratch`. Of several files the first, the middle and the last are read.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    counted: list[int] = []

    def pick(names: list[str]) -> list[str]:
        counted.append(len(names))
        return some(names)

    files = find(path, scratch / "copies", pick)
    num_files = counted[0] if counted else len(files)
    files = some([file for file in files if file.path.stat().st_size] or files)
    for file in files:
        if PurePosixPath(unpacked_name(file.name)).suffix.lower() in _EXCEL:
            raise SourceError(f"{file.name}: {NO_EXCEL}")
    head = _head(files[0])
    kind = guess_format(head, files[0].name)
    known = PurePosixPath(unpacked_name(files[0].name)).suffix.lower() in _KNOWN[kind]
    if kind == "parquet":
        return _parquet(path, files, num_files, scratch, known=known)
    pieces = [_piece(file, scratch / f"piece-{at}") for at, file in enumerate(files)]
    data = _bytes(pieces[0].file, _WHOLE)
    dialect = _dialect(kind, data, files[0].name, encoding, separator)
    frame = _read([piece.file for piece in pieces], dialect.table(path), scratch)
    read, there = sum(piece.taken for piece in pieces), sum(piece.total for piece in pieces)
    whole = read == there and num_files == len(files)
    rows = frame.height if whole else round(frame.height * there / max(read, 1) * num_files / len(files))
    return Sample(path, dialect, frame, rows, whole, not known)


def some(things: Sequence[_T]) -> list[_T]:
    """The first, the middle and the last."""
    if len(things) <= _FILES:
        return list(things)
    return [things[0], things[len(things) // 2], things[-1]]


def _dialect(kind: str, data: bytes, name: str, encoding: str | None, separator: str | None) -> Dialect:
    if kind == "csv":
        return guess_csv(data, name, encoding=encoding, separator=separator)
    reasons: dict[str, str] = {}
    return Dialect("jsonl", encoding or guess_encoding(data, reasons), reasons=reasons)


def _read(files: list[Found], table: DataFile, scratch: Path) -> pl.DataFrame:
    frame = scan_table(files, table, scratch / "read", _MEMORY_GB)
    found = frame.collect()
    if found.is_empty():
        raise SourceError(f"{files[0].name}: there is not a single row")
    return found


def _parquet(path: str, files: list[Found], num_files: int, scratch: Path, *, known: bool) -> Sample:
    dialect = Dialect("parquet", reasons={})
    frame = scan_table(files, dialect.table(path), scratch / "read", _MEMORY_GB)
    there = sum(num_rows(file) for file in files)
    # Every n-th row: a log is mostly in the order of time, and its beginning alone would tell a part of it.
    step = max(1, there // _ROWS)
    rows = frame.gather_every(step).collect()
    if rows.is_empty():
        raise SourceError(f"{path}: there is not a single row")
    whole = step == 1 and num_files == len(files)
    return Sample(path, dialect, rows, round(there * num_files / len(files)), whole, not known)


def _head(file: Found) -> bytes:
    if not file.path.stat().st_size:
        raise SourceError(f"{file.name}: the file is empty")
    with unpacked(file) as blocks:
        head = next(blocks, b"")
    if not head.strip():
        raise SourceError(f"{file.name}: the file is empty")
    return head[:HEAD]


def _bytes(file: Found, most: int) -> bytes:
    parts, size = [], 0
    with unpacked(file) as blocks:
        for block in blocks:
            parts.append(block)
            size += len(block)
            if size >= most:
                break
    return b"".join(parts)


def _piece(file: Found, to: Path) -> _Piece:
    """The file itself, or a copy of its beginning and its end, cut at line breaks outside quotes."""
    start, size, end = bytearray(), 0, bytearray()
    with unpacked(file) as blocks:
        for block in blocks:
            size += len(block)
            room = _WHOLE - len(start)
            start += block[:room]
            end = (end + block[max(room, 0) :])[-_END:]
    if size <= _WHOLE:
        return _Piece(file, size, size)
    beginning = _cut(bytes(start))
    last = bytes(end)
    last = last[last.find(b"\n") + 1 :] if last.count(b'"') == 0 else b""  # where a quote may be open nothing is sure
    to.write_bytes(beginning + last)
    return _Piece(Found(to, unpacked_name(file.name)), size, len(beginning) + len(last))


def _cut(data: bytes) -> bytes:
    """Up to a line break at which no quote is open."""
    quotes, at = data.count(b'"'), len(data)
    while at > 0:
        new = data.rfind(b"\n", 0, at)
        if new < 0:
            break
        quotes -= data.count(b'"', new, at)
        at = new
        if quotes % 2 == 0:
            return data[: at + 1]
    return data[: data.rfind(b"\n") + 1] or data
