"""Connections by ADBC drivers, which return Arrow batches. A driver is imported when the first connection is made."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from shortlist.data.sources.database.explained import explained
from shortlist.data.sources.database.url import Address
from shortlist.data.sources.errors import MissingSourceError, SourceError

_SAME = {"postgres": "postgresql"}
_NEEDS_EXTRA = ("postgresql", "sqlite")
_POSTGRESQL = {"connect_timeout": "10", "keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3"}
"""A server that does not answer is noticed after 10 seconds, a connection that died silently after a minute."""
_BATCH = {
    "postgresql": {"adbc.postgresql.batch_size_hint_bytes": 8 << 20},
    "sqlite": {"adbc.sqlite.query.batch_rows": 1 << 16},
}


@contextmanager
def connection(address: Address) -> Iterator[Any]:
    """A DB-API connection in a read-only transaction.

    Raises SourceError for a missing driver, file or server, for a wrong password and for missing rights.
    """
    kind = _SAME.get(address.scheme, address.scheme)
    connect = _driver(kind, address)
    with explained(address, "connect"):
        opened = connect()
    try:
        if kind == "postgresql":
            with explained(address, "connect"), opened.cursor() as cursor:
                # The query sees the rows of one moment, and cannot write.
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield opened
    finally:
        _close(opened)


@contextmanager
def reader(opened: Any, address: Address, sql: str) -> Iterator[Any]:
    """The result of a query as a `pyarrow.RecordBatchReader`, a few MB a batch."""
    cursor = opened.cursor()
    try:
        if batch := _BATCH.get(_SAME.get(address.scheme, address.scheme)):
            cursor.adbc_statement.set_options(**{name: str(value) for name, value in batch.items()})
        cursor.execute(sql)
        yield cursor.fetch_record_batch()
    finally:
        _close(cursor)


def _close(opened: Any) -> None:
    """Closing a connection that was lost fails as well, and would hide why it was lost."""
    with suppress(Exception):  # each driver has its own errors
        opened.close()


def _driver(kind: str, address: Address) -> Any:
    """A function that connects."""
    try:
        manager = importlib.import_module("adbc_driver_manager.dbapi")
    except ImportError:
        raise _no_driver(kind) from None
    try:
        module = importlib.import_module(f"adbc_driver_{kind}.dbapi") if kind.isidentifier() else None
    except ImportError:
        module = None
        if kind in _NEEDS_EXTRA:
            raise _no_driver(kind) from None
    match kind:
        case "sqlite":
            uri = _sqlite_uri(address)
        case "postgresql":
            uri = _with_parameters(address.url, _POSTGRESQL)
        case _:
            uri = address.url
    if module is not None:
        return lambda: module.connect(uri)

    def by_manager() -> Any:
        try:
            return manager.connect(driver=kind, uri=uri)
        except Exception as error:
            if "driver" in str(error).lower() and ("load" in str(error) or "not found" in str(error).lower()):
                raise _no_driver(kind) from None
            raise

    return by_manager


def _no_driver(kind: str) -> SourceError:
    package = "'shortlist[sql]'" if kind in _NEEDS_EXTRA else f"adbc-driver-{kind}"
    return SourceError(f"source.url: there is no ADBC driver for {kind}://; install it: pip install {package}")


def _sqlite_uri(address: Address) -> str:
    rest = address.url.partition("://")[2]
    if not rest.startswith("/"):
        raise SourceError("source.url: write a SQLite file as sqlite:///shop.db, or sqlite:////folder/shop.db")
    path = Path(rest[1:]).expanduser()
    if not path.is_file():
        raise MissingSourceError(f"source.url: {path}: there is no such SQLite file")
    return f"file:{quote(str(path))}?mode=ro"


def _with_parameters(url: str, parameters: dict[str, str]) -> str:
    given = {one.partition("=")[0] for one in url.partition("?")[2].split("&")}
    more = "&".join(f"{key}={value}" for key, value in parameters.items() if key not in given)
    return f"{url}{'&' if '?' in url else '?'}{more}"
