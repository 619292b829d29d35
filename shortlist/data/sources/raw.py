"""The raw tables of a source: lazy frames with the user's names of the files."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from shortlist.data.sources.locate import Found


@dataclass(frozen=True)
class JoinedTable:
    """A second table of the same rows, from which only `columns` are used."""

    frame: pl.LazyFrame
    name: str
    columns: Mapping[str, str]
    by: str
    """The column of both tables to join on."""


@dataclass(frozen=True)
class RawTable:
    """A raw table, and the expressions of our columns over its columns."""

    frame: pl.LazyFrame
    name: str
    """The file, folder or pattern, for messages."""
    where: str
    """YAML path of the table in the recipe, for messages."""
    columns: Mapping[str, str]
    """Our column -> SQL expression over the frame's columns; other columns keep their names."""
    joined: JoinedTable | None = None
    explode: str | None = None
    """A column of lists whose entries become rows."""
    distinct: bool = False
    """Whether only the first row of each id is used."""


@dataclass(frozen=True)
class RawTables:
    """The events in the order read, and the tables of items and users."""

    events: list[RawTable]
    items: RawTable | None = None
    users: RawTable | None = None
    files: list[Found] = field(default_factory=list)
    """All files that were read, in order; the fingerprint of the data is computed from their bytes."""
    left_out: Mapping[str, pl.LazyFrame] = field(default_factory=dict)
    """YAML path of a file with a `where` -> the number of rows that it drops."""
