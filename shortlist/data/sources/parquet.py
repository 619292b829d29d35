"""Reads Parquet files of other tools, with each column in a type that the recipe's expressions support."""

from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from shortlist.data.sources.errors import SourceError, named
from shortlist.data.sources.locate import Found

_ROWS = 1 << 17
_MAX_DIGITS = 38
_UUID_PARTS = ((0, 8), (8, 4), (12, 4), (16, 4), (20, 12))


def num_rows(file: Found) -> int:
    """The number of rows. Raises SourceError for a truncated file."""
    return int(_metadata(file).num_rows)


def scan_parquet(file: Found, scratch: Path, memory_gb: float) -> pl.LazyFrame:
    """A Parquet file; a file with row groups that are too large for the memory is first rewritten below `scratch`.

    UUIDs and dictionary values are text. Raises SourceError for an invalid file, and for decimals that are too long for
    Polars.
    """
    metadata = _metadata(file)
    largest = max((metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups)), default=0)
    path = _in_small_groups(file, scratch) if largest > memory_gb * 2**30 / 8 else file.path
    _check_digits(file, metadata)
    frame = pl.scan_parquet(path, glob=False, hive_partitioning=False)
    schema = frame.collect_schema()
    leaves = (metadata.schema.column(i) for i in range(metadata.num_columns))
    uuids = {leaf.path for leaf in leaves if leaf.logical_type.type == "UUID"}
    return frame.with_columns(
        _uuid_text(name) if name in uuids else pl.col(name).cast(_plain_type(dtype))
        for name, dtype in schema.items()
        if name in uuids or _plain_type(dtype) != dtype
    )


def broken_file(files: list[Found]) -> SourceError | None:
    """The error for the first Parquet file whose data cannot be decoded, searched after Polars has failed."""
    for file in files:
        try:
            with pq.ParquetFile(file.path, pre_buffer=False) as parquet:
                for _ in parquet.iter_batches(batch_size=_ROWS):
                    pass
        except (OSError, ValueError) as error:
            return SourceError(f"{file.name}: its data is damaged ({short(error)}); copy it again")
    return None


def short(error: Exception) -> str:
    return named([str(error).splitlines()[0].rstrip(".")])


def _metadata(file: Found) -> pq.FileMetaData:
    try:
        return pq.read_metadata(file.path)
    except (OSError, ValueError) as error:
        raise SourceError(f"{file.name}: truncated, or not a Parquet file ({short(error)}); copy it again") from None


def _check_digits(file: Found, metadata: pq.FileMetaData) -> None:
    for field in metadata.schema.to_arrow_schema():
        if pa.types.is_decimal(field.type) and field.type.precision > _MAX_DIGITS:
            raise SourceError(
                f"{file.name}: the column {field.name!r} is {field.type}, but numbers have at most {_MAX_DIGITS} "
                "digits; write it as text"
            )


def _uuid_text(name: str) -> pl.Expr:
    """Sixteen bytes -> `01234567-89ab-cdef-0123-456789abcdef`."""
    digits = pl.col(name).bin.encode("hex")
    return pl.concat_str([digits.str.slice(*part) for part in _UUID_PARTS], separator="-").alias(name)


def _plain_type(dtype: pl.DataType) -> pl.DataType:
    """Text for dictionary types, whose numeric cast would give positions."""
    if isinstance(dtype, pl.Categorical | pl.Enum):
        return pl.String()
    if isinstance(dtype, pl.List):
        return pl.List(_plain_type(_inner(dtype)))
    if isinstance(dtype, pl.Array):
        return pl.Array(_plain_type(_inner(dtype)), dtype.size)
    return dtype


def _inner(dtype: pl.List | pl.Array) -> pl.DataType:
    assert isinstance(dtype.inner, pl.DataType)
    return dtype.inner


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
