"""Streams the result of a query to Parquet files; a part whose connection is lost is started again."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

import pyarrow.parquet as pq

from shortlist.data.sources.database import statement
from shortlist.data.sources.database.arrow_types import plain_batch, plain_schema
from shortlist.data.sources.database.drivers import connection, reader
from shortlist.data.sources.database.explained import ConnectionLostError, explained
from shortlist.data.sources.database.url import Address
from shortlist.data.sources.errors import SourceError
from shortlist.progress import say
from shortlist.recipe import Partition

_T = TypeVar("_T")

_WAIT_SECONDS = 1.0
"""Before the first new try; it doubles with each."""


@dataclass(frozen=True)
class Query:
    """A query of the recipe, checked to be one SELECT."""

    address: Address
    sql: str
    where: str
    """YAML path of its table."""
    retries: int

    def stats(self, stats: str, conditions: list[str]) -> list[Any]:
        """One row of aggregates, like `count(*)`. Raises SourceError."""
        return self.row(statement.stats_of(self.sql, stats, conditions))

    def row(self, sql: str) -> list[Any]:
        """The first row of a result. Raises SourceError."""

        def read(connected: Event) -> list[Any]:
            with connection(self.address) as opened, explained(self.address, self.where):
                connected.set()
                with reader(opened, self.address, sql) as batches:
                    found = batches.read_all().slice(0, 1).to_pylist()
            return list(found[0].values()) if found else []

        return _again(self, read, Event())


def download(query: Query, conditions: list[str], partition: Partition | None, folder: Path) -> list[Path]:
    """Write the rows that meet all conditions to files below `folder`, one a part, in the order of the parts.

    One batch of each part is in memory at a time. A file appears when its part is complete. Raises SourceError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = [conditions] if partition is None else [[*conditions, one] for one in _ranges(query, conditions, partition)]
    files = [folder / f"{at:04}.parquet" for at in range(len(parts))]
    failed = Event()

    def read(at: int) -> None:
        try:
            _again(query, lambda connected: _stream(query, parts[at], files[at], connected, failed), failed)
        except BaseException:
            failed.set()  # the other parts stop at their next batch
            raise

    with ThreadPoolExecutor(len(parts)) as pool:
        tries = [pool.submit(read, at) for at in range(len(parts))]
    errors = [error for one in tries if (error := one.exception()) is not None]
    for error in sorted(errors, key=lambda one: isinstance(one, _StoppedError)):
        raise error
    return files


class _StoppedError(Exception):
    """Another part has failed."""


def _again(query: Query, read: Callable[[Event], _T], failed: Event) -> _T:
    """Call `read` until it succeeds, a few times. A server that never answered is not tried again."""
    connected = Event()
    for attempt in range(query.retries + 1):
        try:
            return read(connected)
        except ConnectionLostError as error:
            if not connected.is_set():
                raise
            if attempt == query.retries:
                raise SourceError(f"{error}; given up after {attempt + 1} tries; nothing was kept") from None
            say(f"warning: {error}; starting again")
            failed.wait(_WAIT_SECONDS * 2**attempt)
    raise AssertionError


def _stream(query: Query, conditions: list[str], to: Path, connected: Event, failed: Event) -> None:
    """Read one part into one file, which appears when it is complete."""
    partial = to.with_suffix(".partial")
    rows, started = 0, time.monotonic()
    try:
        with connection(query.address) as opened, explained(query.address, query.where):
            connected.set()
            with reader(opened, query.address, statement.part_of(query.sql, conditions)) as batches:
                schema = plain_schema(batches.schema, query.where)
                with pq.ParquetWriter(partial, schema, compression="lz4") as writer:
                    for batch in batches:
                        if failed.is_set():
                            raise _StoppedError
                        writer.write_batch(plain_batch(batch, schema))
                        rows += batch.num_rows
        partial.rename(to)
    finally:
        partial.unlink(missing_ok=True)
    say(f"{query.where}: {rows:,} rows from {query.address.shown} in {time.monotonic() - started:.1f} s")


def _ranges(query: Query, conditions: list[str], partition: Partition) -> list[str]:
    """Conditions that every row meets exactly one of."""
    column = statement.name(partition.column)
    low, high = query.stats(f"min({column}), max({column})", conditions)
    if low is None:
        return [f"({column} IS NULL OR {column} IS NOT NULL)"]
    if not isinstance(low, int) or isinstance(low, bool):
        raise SourceError(
            f"{query.where}.partition.column: {partition.column!r} has values like {low!r}; use "
            "a column of whole numbers"
        )
    width = -(-(high - low + 1) // partition.parts)
    bounds = list(range(low + width, high + 1, width))
    # Open at both ends, so that rows that were added after the bounds were read are in a part, too.
    parts = [f"{column} >= {a} AND {column} < {b}" for a, b in zip([None, *bounds], [*bounds, None], strict=True)]
    parts[0] = f"({column} IS NULL" + (f" OR {column} < {bounds[0]})" if bounds else f" OR {column} IS NOT NULL)")
    if bounds:
        parts[-1] = f"{column} >= {bounds[-1]}"
    return parts
