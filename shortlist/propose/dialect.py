"""How a file of text is written: encoding, separator, quotes and header, guessed from its first bytes."""

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from shortlist.data.sources import SourceError
from shortlist.data.sources.header import is_row_number, look_like_data
from shortlist.data.sources.plain import SEPARATOR, Format
from shortlist.data.sources.sniff import check_format, encoding_of
from shortlist.recipe import DataFile

SEPARATORS = ("\t", ";", "|", "::", ",", " ")
"""Comma is late because it also stands inside numbers and titles; blanks are everywhere."""
HEAD = 1 << 16
"""Bytes that tell the format."""
_HEAD_TEXT = 1 << 20
_ROWS = 1_000
_CONTROL = frozenset(range(32)) - {0, 9, 10, 12, 13, 27, 31}
_BINARY = 8
_MOSTLY = 0.98
_UNUSED = ("\t", "|", ";", ",", SEPARATOR)
"""One that no line contains is the separator of a file whose lines are one column each."""
_FEWEST_LISTS, _SHORTEST_LISTS, _ALMOST_ALL = 3, 2.5, 0.95


@dataclass(frozen=True)
class Dialect:
    """The settings of a recipe's file that tell how it is written, with why each was chosen."""

    format: Format
    encoding: str = "utf-8"
    separator: str = ","
    quote: str | None = '"'
    header: bool | None = None
    reasons: dict[str, str] | None = None
    """Setting -> why; for those that are not as the recipe takes them by default."""
    entries: str | None = None
    """What separates the entries of a line that is a user and a list of items; the line is then one column."""

    def table(self, path: str) -> DataFile:
        return DataFile(
            path=path,
            format=self.format,
            encoding=self.encoding,
            separator=self.separator,
            quote=self.quote,
            header=self.header,
        )


def guess_format(head: bytes, name: str) -> Format:
    """The format by the first bytes. Raises SourceError for what is empty, binary, Excel or one JSON array."""
    if head.startswith(b"PAR1"):
        return "parquet"
    check_format(head, name)
    marked = head.startswith((b"\xff\xfe", b"\xfe\xff"))
    if not marked and sum(byte in _CONTROL for byte in head[:4096]) > _BINARY:
        raise SourceError(f"{name}: this is a binary file; write the table as CSV, JSON lines or Parquet")
    encoding_of(head, name, DataFile(path=name))  # refuses UTF-16 without a mark, and ends of lines that are not read
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not text:
        raise SourceError(f"{name}: the file is empty")
    if text.startswith(b'{"') and len(head) >= HEAD and b"\n" not in text:
        raise SourceError(
            f"{name}: this is one large JSON object; write one object a line, for example: "
            f"{_jq('to_entries[] | {id: .key, values: .value}', name)} > rows.jsonl"
        )
    if text.startswith(b"["):
        raise SourceError(
            f"{name}: this is one JSON array; write one object a line, for example: {_jq('.[]', name)} > events.jsonl"
        )
    return "jsonl" if text.startswith(b"{") and _is_object(text) else "csv"


def _jq(program: str, name: str) -> str:
    """The command that rewrites a file of JSON."""
    if name.lower().endswith(".gz"):
        return f"gzip -dc {name} | jq -c '{program}'"
    return f"jq -c '{program}' {name}"


def _is_object(text: bytes) -> bool:
    line = text.split(b"\n", maxsplit=1)[0].strip()
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, UnicodeDecodeError):
        # An object over several lines, which the reader of JSON lines explains; a CSV has no line like `{`.
        return line in (b"{", b"{}")


def guess_encoding(data: bytes, reasons: dict[str, str]) -> str:
    """UTF-8 where all bytes are, also for UTF-16 with a mark, which is read as it is; else Windows-1252 or Latin-1."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-8"
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data":  # the sample was cut inside a character
            return "utf-8"
        at = error.start
        windows = any(0x80 <= byte < 0xA0 for byte in data)
        try:
            data.decode("cp1252")
        except UnicodeDecodeError:
            windows = False
        found = "cp1252" if windows else "latin-1"
        shown = data[max(at - 12, 0) : at + 12].decode(found, "replace").split("\n")[-1].strip()
        reasons["encoding"] = (
            f"byte {at:,} is not UTF-8; read as {found} it says {shown!r}. "
            "If that is wrong, pass --encoding, like cp1250, cp1251 or shift_jis"
        )
        return found
    return "utf-8"


def decoded(data: bytes, encoding: str) -> str:
    if data.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        encoding = "utf-32"
    elif data.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    return data.decode(encoding, "ignore").removeprefix("\ufeff")


def guess_csv(data: bytes, name: str, *, encoding: str | None = None, separator: str | None = None) -> Dialect:
    """The dialect of a CSV by its first bytes; what is given is not guessed. Raises SourceError."""
    reasons: dict[str, str] = {}
    encoding = encoding or guess_encoding(data, reasons)
    try:
        text = decoded(data[:_HEAD_TEXT], encoding)
    except LookupError:
        raise SourceError(f"--encoding {encoding!r} is unknown; try latin-1 or cp1252") from None
    if len(data) > _HEAD_TEXT:
        text = text[: text.rfind("\n") + 1] or text
    found = _best(text, [separator] if separator else SEPARATORS)
    if found is None and (entries := _entries(text, [separator] if separator else SEPARATORS)) is not None:
        unused = next(mark for mark in _UNUSED if mark != entries and mark.encode() not in data)
        reasons["separator"] = "no line contains it, so that a line is one column"
        reasons["header"] = "the first line is a list, not names"
        return Dialect("csv", encoding, unused, None, header=False, reasons=reasons, entries=entries)
    if found is None:
        first = text.splitlines()[0][:80] if text.strip() else ""
        raise SourceError(
            f"{name}: no separator divides its lines into equally many fields (tried tab ; | :: , and blank); the "
            f"first line is {first!r}. Pass --separator if it has another one"
        )
    sep, quote, rows = found
    if sep != ",":
        reasons["separator"] = f"it divides the lines into {len(rows[0])} fields each"
    if quote is None:
        reasons["quote"] = "quotes stand inside fields and do not enclose them"
    return Dialect("csv", encoding, sep, quote, _header(rows, reasons), reasons)


def _best(text: str, separators: Sequence[str]) -> tuple[str, str | None, list[list[str]]] | None:
    """The separator and quote that give most lines the same number of fields, at least two."""
    found: dict[tuple[float, bool, int, bool, int], tuple[str, str | None, list[list[str]]]] = {}
    for at, separator in enumerate(separators):
        for quote in ('"', None) if '"' in text else ('"',):
            rows = _rows(text, separator, quote)
            if not rows:
                continue
            width, count = Counter(map(len, rows)).most_common(1)[0]
            if width > 1 and len(rows[0]) == width and count >= _MOSTLY * len(rows):
                alike = round(count / len(rows), 3)
                found[alike, separator != " ", width, quote is not None, -at] = (separator, quote, rows)
    return found[max(found)] if found else None


def _entries(text: str, separators: Sequence[str]) -> str | None:
    """What separates the entries of lines that are a user and the user's items, like `7 12 5 40`; None for other text.

    Every line has another user, the lines differ in length, and the entries have digits, as ids have.
    """
    lines = [line.strip() for line in text.splitlines()[:_ROWS]]
    for separator in separators:
        rows = [line.split(separator) for line in lines if line]
        entries = [entry for row in rows for entry in row]
        if len(rows) < _FEWEST_LISTS or len(entries) < _SHORTEST_LISTS * len(rows):
            continue
        users, equal = len({row[0] for row in rows}), Counter(map(len, rows)).most_common(1)[0][1]
        ids = sum(" " not in entry and any(letter.isdigit() for letter in entry) for entry in entries)
        if users >= _ALMOST_ALL * len(rows) > equal and ids >= _ALMOST_ALL * len(entries):
            return separator
    return None


def _rows(text: str, separator: str, quote: str | None) -> list[list[str]]:
    """The first rows, none where the quotes do not fit."""
    if len(separator) > 1:
        text, separator = text.replace(separator, SEPARATOR), SEPARATOR
    quoting: Literal[0, 3] = csv.QUOTE_NONE if quote is None else csv.QUOTE_MINIMAL
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, quotechar=quote, quoting=quoting, strict=True
    )
    rows: list[list[str]] = []
    try:
        for row in reader:
            rows.append(row)
            if len(rows) > _ROWS:
                break
    except csv.Error:
        return []
    return [row for row in rows if row]


def _header(rows: list[list[str]], reasons: dict[str, str]) -> bool | None:
    """False where the first line looks like data; True where a column has no name that must have one."""
    names, below = rows[0], [list(column) for column in zip(*rows[1:], strict=False)]
    if len(rows) > 1 and look_like_data(names, below):
        reasons["header"] = "the first line looks like data, not like names"
        return False
    empty = [at for at, name in enumerate(names) if not name.strip()]
    if empty and not (empty == [0] and below and is_row_number(below[0])):
        reasons["header"] = "a column has no name and is not read"
        return True
    return None
