"""Tables of a database: each query is streamed to Parquet files below the scratch folder, which ingest then reads."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from shortlist.data.sources.database import statement
from shortlist.data.sources.database.download import Query, download
from shortlist.data.sources.database.incremental import read_new
from shortlist.data.sources.database.url import Address, address_of
from shortlist.data.sources.header import check_names
from shortlist.data.sources.locate import Found
from shortlist.data.sources.parquet import scan_parquet
from shortlist.data.sources.raw import RawTable, RawTables
from shortlist.recipe import SqlSource, SqlTable


def read_database(source: SqlSource, scratch: Path, memory_gb: float) -> RawTables:
    """The tables of a database. Raises SourceError; no message contains a secret of the URL."""
    address = address_of(source.url)
    files: list[Found] = []

    def read(table: SqlTable, name: str) -> RawTable:
        query = _query(source, address, table, name)
        folder = scratch / "sql" / name
        if table.incremental is not None:
            paths = read_new(query, table.incremental, table.partition, folder)
        else:
            paths = download(query, [], table.partition, folder)
        found = [Found(path, f"{address.shown} ({name}{f', part {at}' if paths[1:] else ''})")
                 for at, path in enumerate(paths, 1)]  # fmt: skip
        files.extend(found)
        frames = [scan_parquet(one, folder / f"{one.path.stem}.d", memory_gb) for one in found]
        check_names(frames[0].collect_schema().names(), query.where)
        shown = f"{address.shown} ({name})"
        return RawTable(pl.concat(frames), shown, query.where, table.columns, explode=table.explode)

    tables = {name: read(table, name) for name, table in _tables(source)}
    return RawTables([tables["events"]], tables.get("items"), tables.get("users"), files)


def versions(source: SqlSource) -> Iterator[str | None]:
    """One line per table, which changes with its data; None for a table that only reading would show to be the same.

    Raises SourceError.
    """
    address = address_of(source.url)
    for name, table in _tables(source):
        query = _query(source, address, table, name)
        if table.version is not None:
            where = f"{query.where}.version"
            row = Query(address, query.sql, where, 0).row(statement.one_select(table.version, where))
        elif table.incremental is not None:
            row = query.stats(f"count(*), max({statement.name(table.incremental.column)})", [])
        else:
            yield None
            continue
        yield f"{address.shown} {name} {row}"


def _query(source: SqlSource, address: Address, table: SqlTable, name: str) -> Query:
    where = f"source.{name}"
    return Query(address, statement.one_select(table.query, f"{where}.query"), where, source.retries)


def _tables(source: SqlSource) -> Iterator[tuple[str, SqlTable]]:
    for name, table in (("events", source.events), ("items", source.items), ("users", source.users)):
        if table is not None:
            yield name, table


__all__ = ["read_database", "versions"]
