"""Converts compressed files and other encodings to a plain UTF-8 copy for Polars, streamed a few MB at a time."""

import bz2
import codecs
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import IO, Literal

import zstandard

from shortlist.data.sources.errors import SourceError, named
from shortlist.data.sources.locate import Found
from shortlist.data.sources.sniff import NO_EXCEL, PACKED, encoding_of, packing_of
from shortlist.recipe import DataFile

Format = Literal["parquet", "csv", "jsonl"]

SEPARATOR = "\x1f"
"""Replaces a separator of several characters in the plain copy: the ASCII unit separator."""
_BLOCK = 1 << 22
_HEAD = 1 << 10
_ENDINGS: dict[str, Format] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}
_EXCEL = {".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"}


def format_of(file: Found, table: DataFile) -> Format:
    """The format from the recipe or the file's extension. Raises SourceError if it is unknown, and for Excel."""
    if table.format != "auto":
        return table.format
    ending = PurePosixPath(unpacked_name(file.name)).suffix.lower()
    if ending in _EXCEL:
        raise SourceError(f"{file.name}: {NO_EXCEL}")
    if ending not in _ENDINGS:
        raise SourceError(f"{file.name}: the extension {ending!r} is unknown; set `format: parquet`, `csv` or `jsonl`")
    return _ENDINGS[ending]


def make_plain(file: Found, table: DataFile, to: Path) -> Found | None:
    """The file itself if Polars can read it, otherwise a plain UTF-8 copy at `to`; None for an empty file.

    Compression and UTF-16 are also detected by the first bytes. Raises SourceError when the file is not a valid
    archive, is truncated, is not in its encoding, or has another format.
    """
    kind, packing = format_of(file, table), packing_of(file)
    if file.path.stat().st_size == 0 or (kind == "parquet" and not packing):
        return file if file.path.stat().st_size else None
    with _packing_errors(file.name), _unpacked(file, packing) as packed:
        head, blocks = _peeked(packed)
        change: list[Callable[[Iterator[bytes]], Iterator[bytes]]] = []
        if kind != "parquet":
            encoding = encoding_of(head, file.name, table)
            if codecs.lookup(encoding).name != "utf-8" or (kind == "jsonl" and head.startswith(codecs.BOM_UTF8)):
                change.append(partial(_recoded, name=file.name, encoding=encoding))
        if kind == "csv" and len(table.separator) > 1:
            change.append(partial(_separated, name=file.name, separator=table.separator.encode()))
        if packing or change:
            for one in change:
                blocks = one(blocks)
            to.parent.mkdir(parents=True, exist_ok=True)
            with to.open("wb") as out:
                out.writelines(blocks)
            file = Found(to, file.name)
    return None if _is_blank(file.path) else file


@contextmanager
def unpacked(file: Found) -> Iterator[Iterator[bytes]]:
    """The decompressed bytes of a file, a few MB at a time. Raises SourceError for a damaged file."""
    with _packing_errors(file.name), _unpacked(file, packing_of(file)) as blocks:
        yield blocks


def _peeked(blocks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes, at least some hundreds if available, and all blocks."""
    head = b""
    for block in blocks:
        head += block
        if len(head) >= _HEAD:
            break
    return head, chain([head], blocks)


def _is_blank(path: Path) -> bool:
    """Whether a file contains only white space, like the output of a task without rows."""
    if path.stat().st_size > _HEAD:
        return False
    return not path.read_bytes().removeprefix(codecs.BOM_UTF8).strip()


def unpacked_name(name: str) -> str:
    """A file name without the extension of its compression."""
    return name[: name.rindex(".")] if name.lower().endswith(PACKED) else name


@contextmanager
def _unpacked(file: Found, packing: str) -> Iterator[Iterator[bytes]]:
    """All members of a gzip file, streams of a bzip2 or xz file and frames of a Zstandard file, one after the other."""
    with file.path.open("rb") as raw:
        if packing == ".gz":
            yield _blocks(gzip.GzipFile(fileobj=raw))
        elif packing == ".bz2":
            with bz2.BZ2File(raw) as stream:
                yield _blocks(stream)
        elif packing == ".xz":
            with lzma.LZMAFile(raw) as stream:
                yield _blocks(stream)
        elif packing == ".zst":
            yield _zstandard(_blocks(raw))
        elif packing == ".zip":
            with zipfile.ZipFile(raw) as archive, archive.open(_only_member(archive, file.name)) as member:
                yield _blocks(member)
        else:
            yield _blocks(raw)


def _blocks(stream: IO[bytes] | gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile) -> Iterator[bytes]:
    return iter(lambda: stream.read(_BLOCK), b"")


def _zstandard(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Decompress frame by frame; unlike the stream of the library, this detects a truncated file."""
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
    """The only data file of an archive, ignoring the files that macOS adds."""
    members = [
        member.filename
        for member in archive.infolist()
        if not member.is_dir()
        and not any(p.startswith((".", "__MACOSX")) for p in PurePosixPath(member.filename).parts)
    ]
    if len(members) != 1:
        raise SourceError(f"{name}: the archive must contain one file, it has: {named(members) or 'none'}")
    return members[0]


@contextmanager
def _packing_errors(name: str) -> Iterator[None]:
    try:
        yield
    except EOFError:
        raise SourceError(f"{name}: the file is truncated; copy it again") from None
    except (gzip.BadGzipFile, zlib.error, lzma.LZMAError, zipfile.BadZipFile, zstandard.ZstdError) as error:
        raise _unsound(name, error) from None
    except OSError as error:
        if error.errno is None:  # bzip2's own
            raise _unsound(name, error) from None
        raise


def _unsound(name: str, error: Exception) -> SourceError:
    return SourceError(f"{name}: not a valid {PurePosixPath(name).suffix} file: {error}; copy it again")


def _recoded(blocks: Iterator[bytes], name: str, encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    at = 0
    for block in chain(blocks, [b""]):
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            raise SourceError(f"{name}: byte {at + error.start} is not {encoding}; set another `encoding`") from None
        yield (text.removeprefix("\ufeff") if at == 0 else text).encode()
        at += len(block)


def _separated(blocks: Iterator[bytes], name: str, separator: bytes) -> Iterator[bytes]:
    """Replace the separator; the end of a block is held back if it may be the start of a separator."""
    kept = b""
    for block in blocks:
        if SEPARATOR.encode() in block:
            raise SourceError(
                f"{name}: contains the control character 0x1f, which is reserved for separators of several characters"
            )
        text = (kept + block).replace(separator, SEPARATOR.encode())
        held = next((n for n in range(len(separator) - 1, 0, -1) if text.endswith(separator[:n])), 0)
        kept = text[len(text) - held :]
        yield text[: len(text) - held]
    yield kept
