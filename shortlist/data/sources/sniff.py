"""Detects compression, text encoding and unsupported formats from the first bytes of a file."""

import codecs

from shortlist.data.sources.errors import SourceError
from shortlist.data.sources.locate import Found
from shortlist.recipe import DataFile

PACKED = (".gz", ".zst", ".bz2", ".xz", ".zip")
"""Extensions of compressed files."""
NO_EXCEL = (
    "Excel files are not supported: a sheet keeps at most 15 digits of an id and has its own time format; "
    "save the sheet as CSV (UTF-8), with ids formatted as text"
)

_PACKINGS = {b"\x1f\x8b": ".gz", b"\x28\xb5\x2f\xfd": ".zst", b"BZh": ".bz2", b"\xfd7zXZ\0": ".xz"}
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",  # begins like that of UTF-16
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_OTHERS = {
    b"PAR1": "this is Parquet; set `format: parquet`",
    b"\xd0\xcf\x11\xe0": NO_EXCEL,
    b"PK\x03\x04": f"this is a zip archive or an Excel file. The name of a zip archive must end in .zip. {NO_EXCEL}",
    b"ARROW1": "this is an Arrow file; write it as Parquet",
    b"ORC": "this is ORC; write it as Parquet",
    b"Obj\x01": "this is Avro; write it as Parquet",
    b"SQLite format 3\0": "this is an SQLite database; write the table as CSV or Parquet",
    b"\x89HDF": "this is HDF5; write it as Parquet",
}


def packing_of(file: Found) -> str:
    """The extension of a file's compression, which its name may lack; empty for an uncompressed file."""
    for ending in PACKED:
        if file.name.lower().endswith(ending):
            return ending
    with file.path.open("rb") as stream:
        head = stream.read(8)
    return next((ending for magic, ending in _PACKINGS.items() if head.startswith(magic)), "")


def check_format(head: bytes, name: str) -> None:
    """Raises SourceError for the first bytes of a format that is not supported, or not under this name."""
    for magic, what in _OTHERS.items():
        if head.startswith(magic):
            raise SourceError(f"{name}: {what}")


def encoding_of(head: bytes, name: str, table: DataFile) -> str:
    """The encoding of a text file, from its first bytes or else from the recipe.

    Raises SourceError for an unknown encoding, another format, and unsupported line endings.
    """
    try:
        encoding = codecs.lookup(table.encoding).name
    except LookupError:
        raise SourceError(f"{name}: encoding {table.encoding!r} is unknown; try latin-1 or cp1252") from None
    check_format(head, name)
    if encoding != "utf-8":
        return encoding
    for mark, marked in _MARKS.items():
        if head.startswith(mark):
            return marked
    if 4 * head.count(0) > len(head):
        raise SourceError(f"{name}: every second byte is zero, as in UTF-16; set `encoding: utf-16-le`")
    if b"\r" in head[:-1] and b"\n" not in head:
        raise SourceError(f"{name}: lines end with CR only, as on old Macs; use LF or CR LF")
    return encoding
