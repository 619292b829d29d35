"""What a source gives: frames that are read when they are collected, with the names that the user knows."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from shortlist.data.sources.locate import Found


@dataclass(frozen=True)
class JoinedTable:
    """A second table of the same rows, of which only `columns` are taken."""

    frame: pl.LazyFrame
    name: str
    columns: Mapping[str, str]
    by: str
    """The column, of both tables, by which rows match."""


@dataclass(frozen=True)
class RawTable:
    """A table as it was found, and how our columns are made of its columns."""

    frame: pl.LazyFrame
    name: str
    """The file, folder or pattern, for messages."""
    where: str
    """YAML path of the table in the recipe, for messages."""
    columns: Mapping[str, str]
    """Column of ours -> SQL expression over the frame's columns; other columns keep their names."""
    joined: JoinedTable | None = None
    explode: str | None = None
    """A column of lists of which every entry becomes a row."""
    distinct: bool = False
    """Whether only the first row of each id counts."""


@dataclass(frozen=True)
class RawTables:
    """Events in the order read, and what is known about items and users."""

    events: list[RawTable]
    items: RawTable | None = None
    users: RawTable | None = None
    files: list[Found] = field(default_factory=list)
    """Every file that was read, in order; their bytes are the data's fingerprint."""
    left_out: Mapping[str, pl.LazyFrame] = field(default_factory=dict)
    """YAML path of a file with a `where` -> one number, the rows that it leaves out."""
