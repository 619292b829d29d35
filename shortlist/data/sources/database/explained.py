"""The errors of drivers in words, without secrets, each with its remedy."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from shortlist.data.sources.database.url import Address
from shortlist.data.sources.errors import SourceError

_REMEDIES = [
    # Texts of libpq and of SQLite, since a failed connection has no SQLSTATE.
    (r"invalid (?:percent|integer|URI)|unexpected character|missing .*connection info", None,
     "the URL cannot be understood; encode the characters of user and password, like @ as %40"),
    (r"password authentication failed|28P01|no password supplied", "the password or the user is wrong",
     "check the variable of the password in source.url"),
    (r"no pg_hba\.conf entry", "the server does not allow this user from this host", "ask its administrator"),
    (r'role ".*" does not exist', "there is no such user", "check the user in source.url"),
    (r'database ".*" does not exist', "there is no such database", "check the end of source.url"),
    (r"42501|permission denied", "the user may not read this", "GRANT SELECT on the table to the user"),
    (r"42703|no such column", "there is no such column", "correct the query"),
    (r"42P01|3F000|no such table", "there is no such table", "correct the query, or write schema.table"),
    (r"25006|readonly database|read-only transaction", "the query writes", "write one SELECT"),
    (r"42601|syntax error|incomplete input", "the query is not valid", "correct the query"),
    (r"Type mismatch", "a column has values of several types, or is NULL in all of its first rows",
     "write CAST(column AS TEXT), or COALESCE(column, '') and NULLIF in `columns`"),
    (r"file is not a database", "the file is not a SQLite database", "check the path"),
    (r"57014|canceling statement", "the server stopped the query", "read with `partition`, or raise its time limit"),
]  # fmt: skip
_NO_SERVER = re.compile(
    r"Connection refused|could not translate host|timeout expired|No such file or directory|Network is unreachable"
    r"|No route to host|Failed to connect|failed to open"
)
_LOST = re.compile(
    r"server closed the connection|connection to server was lost|no connection to the server|terminating connection"
    r"|SSL connection has been closed|could not receive data|Connection reset|Broken pipe|Connection timed out"
    r"|5[37]P?\d{2}\b.*connection|\b57P0[123]\b|\b08[0-9]{3}\b|database system is (?:starting up|shutting down)"
)
_QUOTED_QUERY = re.compile(r"(?:\n\nQuery was: |\nquery: ).*|(?<=execute query ').*(?=': )", re.DOTALL)
_PREFIX = re.compile(r"^[A-Z_]+: |\[\w+\] |Failed to \w+(?: query)?: |ERROR: +|FATAL: +")


class ConnectionLostError(SourceError):
    """The server, or the way to it, is gone; another try may succeed."""


@contextmanager
def explained(address: Address, where: str) -> Iterator[None]:
    """Turn the errors of a driver into SourceError; `where` is the YAML path of the query, or `connect`."""
    try:
        yield
    except SourceError:
        raise
    except Exception as error:
        if not _of_a_driver(error):
            raise
        raise explanation(address, where, error) from None


def explanation(address: Address, where: str, error: Exception) -> SourceError:
    """One line: the place, what is wrong, what the driver says, and what to do."""
    plain = _QUOTED_QUERY.sub("", str(error))
    text, said = f"{plain} {getattr(error, 'sqlstate', None) or ''}", address.scrubbed(_first(plain))
    connecting = where == "connect"
    place = f"{'source.url' if connecting else where}: {address.shown}"
    if _LOST.search(text):
        return ConnectionLostError(f"{place}: the connection was lost ({said}); check the server and the network")
    for pattern, wrong, remedy in _REMEDIES:
        if re.search(pattern, text):
            # Without `wrong` the driver may repeat a part of the URL.
            return SourceError(f"{place}: {remedy if wrong is None else f'{wrong} ({said}); {remedy}'}")
    if connecting and _NO_SERVER.search(text):
        return ConnectionLostError(f"{place}: no server answers ({said}); start it, or check host and port")
    return SourceError(f"{place}: {said}")


def _of_a_driver(error: Exception) -> bool:
    """Errors of a stream come as OSError or as errors of Arrow."""
    module = type(error).__module__
    return module.startswith(("adbc", "pyarrow")) or (isinstance(error, OSError) and error.errno is None)


def _first(text: str) -> str:
    """The line of the error and its hint, without the prefixes of the driver."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    hints = [line for line in lines[1:] if line.startswith(("HINT", "DETAIL"))]
    return " ".join([_PREFIX.sub("", lines[0] if lines else "no reason is given"), *hints])
