"""Hive partitions: columns whose values are in the names of folders, like `event=view/dt=2024-01-01/part-0.parquet`."""

from collections.abc import Sequence
from pathlib import PurePosixPath
from urllib.parse import unquote

import polars as pl

from shortlist.data.sources.csv_types import typed
from shortlist.data.sources.locate import Found

_NULL = ("", "__HIVE_DEFAULT_PARTITION__")


def partitions_of(name: str) -> dict[str, str | None]:
    """Column -> value as text from the folders of a file name, in order; None for Hive's null value."""
    found: dict[str, str | None] = {}
    for folder in PurePosixPath(name.partition("://")[2] or name).parts[:-1]:
        key, equals, value = folder.partition("=")
        if key and equals:
            found[unquote(key)] = None if value in _NULL else unquote(value)
    return found


def with_partitions(frames: Sequence[pl.LazyFrame], files: Sequence[Found], *, text: bool) -> list[pl.LazyFrame]:
    """The frames of `files` with the columns of their folders at the end.

    A column of the file takes precedence. A column that only some of the names have is null in the others. With `text`,
    the values stay text; otherwise types are inferred as in a CSV.
    """
    found = [partitions_of(file.name) for file in files]
    columns = list(dict.fromkeys(column for one in found for column in one))
    if not columns:
        return list(frames)
    table = pl.DataFrame(
        {column: [one.get(column) for one in found] for column in columns}, schema=dict.fromkeys(columns, pl.String)
    )
    if not text:
        table = typed(table.lazy()).collect()
    together = []
    for frame, row in zip(frames, table.iter_rows(named=True), strict=True):
        own = frame.collect_schema()
        new = [pl.lit(value, table.schema[column]).alias(column) for column, value in row.items() if column not in own]
        together.append(frame.with_columns(new))
    return together
