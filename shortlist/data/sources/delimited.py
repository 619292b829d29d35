"""Reads CSV as text columns, with checks that name the line; `csv_types` infers numeric types."""

import csv
import re

import polars as pl

from shortlist.data.sources.errors import SourceError
from shortlist.data.sources.header import check_header
from shortlist.data.sources.locate import Found
from shortlist.data.sources.plain import SEPARATOR
from shortlist.recipe import DataFile


def scan_csv(file: Found, table: DataFile) -> pl.LazyFrame:
    """All columns as text. Raises SourceError for an undecodable file and for rows of the wrong length."""
    separator = SEPARATOR if len(table.separator) > 1 else table.separator
    _check_rows(file, table, separator)
    frame = pl.scan_csv(
        file.path,
        separator=separator,
        has_header=table.header is not False,
        quote_char=table.quote,
        infer_schema=False,
        glob=False,
        with_column_names=_numbered if table.header is False else None,
    )
    if table.header is not False:
        check_header(_first_line(file, table, separator), frame, file.name, declared=table.header is True)
    if separator != table.separator and table.quote is not None:
        frame = frame.with_columns(pl.all().str.replace_all(SEPARATOR, table.separator, literal=True))
    return frame


def _numbered(names: list[str]) -> list[str]:
    return [f"column_{i}" for i in range(1, len(names) + 1)]


def _first_line(file: Found, table: DataFile, separator: str) -> list[str]:
    """The fields of the first line as written, since Polars renames duplicates."""
    first = pl.read_csv(
        file.path,
        separator=separator,
        has_header=False,
        quote_char=table.quote,
        infer_schema=False,
        n_rows=1,
        glob=False,
    )
    return [value or "" for value in first.row(0)] if first.height else []


def _check_rows(file: Found, table: DataFile, separator: str) -> None:
    """Check the lines in one streamed pass; only a file with line breaks inside quotes is read by Python."""
    line, is_open = pl.col("line"), pl.lit(value=False)
    if table.quote is not None:
        mark = re.escape(table.quote)
        line = line.str.replace_all(f"{mark}(?:[^{mark}]|{mark}{mark})*{mark}", "")
        is_open = line.str.contains(table.quote, literal=True)
    fields = line.str.count_matches(separator, literal=True) + 1
    lines = pl.scan_lines(file.path, row_index_name="at", row_index_offset=1, glob=False)
    try:
        # Polars treats the last line break as the end of a line, so an empty line here is empty in the file.
        expected = int(lines.select(fields).head(1).collect().item())
        odd = (
            lines.select("at", fields.alias("fields"), is_open.alias("open"))
            .filter(pl.col("open") | (pl.col("fields") != expected))
            .head(1)
            .collect(engine="streaming")
        )
    except pl.exceptions.ComputeError:
        check_utf8(file)
        raise
    if odd.is_empty():
        return
    at, count, unfinished = odd.row(0)
    if not unfinished:
        raise _broken(file, at, count, expected)
    assert table.quote is not None
    _check_quoted(file, table.quote, separator)


def _check_quoted(file: Found, quote: str, separator: str) -> None:
    with file.path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.reader(stream, delimiter=separator, quotechar=quote, strict=True)
        expected, start = 0, 1
        try:
            for row in reader:
                expected = expected or len(row)
                if len(row) != expected:
                    raise _broken(file, start, len(row), expected)
                start = reader.line_num + 1
        except csv.Error as error:
            raise SourceError(
                f"{file.name}: line {start}: {error}; fix the quotes, or set `quote: null` if they are ordinary"
            ) from None


def check_utf8(file: Found) -> None:
    """Raises SourceError with the line and byte that is not UTF-8; called only after Polars has refused the file."""
    line, at = 1, 0
    with file.path.open("rb") as stream:
        for block in stream:
            try:
                block.decode()
            except UnicodeDecodeError as error:
                raise SourceError(
                    f"{file.name}: line {line}, byte {at + error.start} (0x{block[error.start]:02x}) is not UTF-8; "
                    "save the file as UTF-8, or declare its encoding, like `encoding: latin-1`"
                ) from None
            line, at = line + 1, at + len(block)


def _broken(file: Found, line: int, count: int, expected: int) -> SourceError:
    return SourceError(
        f"{file.name}: line {line} has {count} field{'s' * (count != 1)}, the first line has {expected}; "
        "fix the line, or the recipe's `separator` or `quote`"
    )
