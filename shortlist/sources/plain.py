"""From a compressed or oddly encoded file to a plain one that Polars reads: one streamed copy, a few MB at a time."""

import codecs
import gzip
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import IO, Literal

import zstandard

from shortlist.recipe import DataFile
from shortlist.sources.errors import SourceError, named
from shortlist.sources.locate import Found

Format = Literal["parquet", "csv", "jsonl"]

SEPARATOR = "\x1f"
"""Stands for a separator of several characters in the plain copy: the unit separator of ASCII."""
_BLOCK = 1 << 22
_PACKED = (".gz", ".zst", ".zip")
_ENDINGS: dict[str, Format] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}


def format_of(file: Found, table: DataFile) -> Format:
    """The format that the recipe says, or that the name's ending does."""
    if table.format != "auto":
        return table.format
    ending = PurePosixPath(_unpacked_name(file.name)).suffix.lower()
    if ending not in _ENDINGS:
        raise SourceError(
            f"{file.name}: the ending {ending!r} tells no format; set `format: parquet`, `csv` or `jsonl`"
        )
    return _ENDINGS[ending]


def make_plain(file: Found, table: DataFile, to: Path) -> Found:
    """The file itself when Polars can read it as it is, else a plain UTF-8 copy of it at `to`.

    Raises SourceError when the file is empty, is no archive of its kind, ends early, or is not in its encoding.
    """
    if file.path.stat().st_size == 0:
        raise SourceError(f"{file.name}: the file is empty")
    text = format_of(file, table) != "parquet"
    recode = text and _codec(file, table) != "utf-8"
    separate = format_of(file, table) == "csv" and len(table.separator) > 1
    if not (file.name.lower().endswith(_PACKED) or recode or separate):
        return file
    to.parent.mkdir(parents=True, exist_ok=True)
    with _packing_errors(file.name), _unpacked(file) as packed, to.open("wb") as out:
        blocks = packed
        if recode:
            blocks = _recoded(blocks, file.name, table.encoding)
        if separate:
            blocks = _separated(blocks, file.name, table.separator.encode())
        for block in blocks:
            out.write(block)
    if to.stat().st_size == 0:
        raise SourceError(f"{file.name}: the file is empty")
    return Found(to, file.name)


def _codec(file: Found, table: DataFile) -> str:
    try:
        return codecs.lookup(table.encoding).name
    except LookupError:
        raise SourceError(f"{file.name}: encoding {table.encoding!r} is unknown; try latin-1 or cp1252") from None


def _unpacked_name(name: str) -> str:
    return name[: name.rindex(".")] if name.lower().endswith(_PACKED) else name


@contextmanager
def _unpacked(file: Found) -> Iterator[Iterator[bytes]]:
    ending = PurePosixPath(file.name).suffix.lower()
    with file.path.open("rb") as raw:
        if ending == ".gz":
            yield _blocks(gzip.GzipFile(fileobj=raw))
        elif ending == ".zst":
            yield _zstandard(_blocks(raw))
        elif ending == ".zip":
            with zipfile.ZipFile(raw) as archive, archive.open(_only_member(archive, file.name)) as member:
                yield _blocks(member)
        else:
            yield _blocks(raw)


def _blocks(stream: IO[bytes] | gzip.GzipFile) -> Iterator[bytes]:
    return iter(lambda: stream.read(_BLOCK), b"")


def _zstandard(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """One frame after the other; unlike the library's own stream it notices a file that ends in the middle."""
    frame = zstandard.ZstdDecompressor().decompressobj()
    for block in blocks:
        rest = block
        while rest:
            if frame.eof:
                frame = zstandard.ZstdDecompressor().decompressobj()
            yield frame.decompress(rest)
            rest = frame.unused_data
    if not frame.eof:
        raise EOFError


def _only_member(archive: zipfile.ZipFile, name: str) -> str:
    """The one data file of an archive; what macOS puts beside it does not count."""
    members = [
        member.filename
        for member in archive.infolist()
        if not member.is_dir()
        and not any(p.startswith((".", "__MACOSX")) for p in PurePosixPath(member.filename).parts)
    ]
    if len(members) != 1:
        raise SourceError(f"{name}: one file is expected in the archive, there are: {named(members) or 'none'}")
    return members[0]


@contextmanager
def _packing_errors(name: str) -> Iterator[None]:
    try:
        yield
    except EOFError:
        raise SourceError(f"{name}: the file ends in the middle; copy it again") from None
    except (gzip.BadGzipFile, zlib.error, zipfile.BadZipFile, zstandard.ZstdError) as error:
        raise SourceError(
            f"{name}: this is no sound {PurePosixPath(name).suffix} file: {error}; copy it again"
        ) from None


def _recoded(blocks: Iterator[bytes], name: str, encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    at = 0
    for block in chain(blocks, [b""]):
        try:
            yield decoder.decode(block, final=not block).encode()
        except UnicodeDecodeError as error:
            raise SourceError(f"{name}: byte {at + error.start} is not {encoding}; set another `encoding`") from None
        at += len(block)


def _separated(blocks: Iterator[bytes], name: str, separator: bytes) -> Iterator[bytes]:
    """Replace the separator, holding back at the end of a block what may be the start of one."""
    kept = b""
    for block in blocks:
        if SEPARATOR.encode() in block:
            raise SourceError(
                f"{name}: holds the control character 0x1f, which a separator of several characters needs"
            )
        text = (kept + block).replace(separator, SEPARATOR.encode())
        held = next((n for n in range(len(separator) - 1, 0, -1) if text.endswith(separator[:n])), 0)
        kept = text[len(text) - held :]
        yield text[: len(text) - held]
    yield kept
