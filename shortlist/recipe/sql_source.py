"""The source block of a database."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from shortlist.recipe.fields import Expression, Section

_VARIABLES = re.compile(r"(?:\$\{\w+\})+")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://|\$\{\w+\}$")
_SECRET_KEY = re.compile(r"(?i)pass|pwd|secret|token|credential|private_key|api_?key")


def _without_password(url: str) -> str:
    """The URL; its password must be a variable, since the recipe is part of runs and releases."""
    if not _SCHEME.match(url):
        raise ValueError("write the URL as postgresql://user:${DB_PASSWORD}@host:5432/database or sqlite:///file.db")
    rest, _, parameters = url.partition("://")[2].partition("?")
    # Up to the last @, so that a password with a / or an @ is recognised as well.
    user_and_password = "" if url.startswith("sqlite:") else rest.rpartition("@")[0]
    password = user_and_password.partition(":")[2]
    secrets = [value for key, _, value in (one.partition("=") for one in parameters.split("&")) if _is_secret(key)]
    if any(value and not _VARIABLES.fullmatch(value) for value in [password, *secrets]):
        raise ValueError(
            "the URL contains a password, and the recipe would carry it into runs and releases; write "
            "${DB_PASSWORD} in its place and set that environment variable"
        )
    return url


def _is_secret(key: str) -> bool:
    return _SECRET_KEY.search(key) is not None


DatabaseUrl = Annotated[str, AfterValidator(_without_password)]
"""The URL of a database, with variables that are replaced only when a connection is made."""


class Partition(Section):
    """Ranges of a column that are read in parallel, each on its own connection."""

    column: str
    """A column of whole numbers in the result of the query, best one with an index."""
    parts: int = Field(4, ge=2, le=64)
    """Number of ranges of equal width between the smallest and the largest value, and of connections."""


class Incremental(Section):
    """Rows are kept between runs, and a run reads only the rows above the largest value that it has."""

    column: str
    """A column that grows with every new row and is never null: whole numbers or timestamps."""
    keep: str
    """The folder that keeps the rows between runs; on a cluster a folder below a volume of `resources.volumes`."""


class SqlTable(Section):
    """The result of a query, and the mapping from its columns to ours."""

    query: str = Field(min_length=1)
    """One SELECT in the SQL of the database."""
    columns: dict[str, Expression] = Field(default_factory=dict)
    """Our column -> expression over the columns of the result. If empty, all columns are kept unchanged."""
    explode: str | None = None
    """One of our columns that contains lists: every entry becomes a row, in the order of the list."""
    partition: Partition | None = None
    """Parallel reading; without it, the result is read on one connection in the order of the query."""
    incremental: Incremental | None = None
    """Reading of new rows only; without it, every run reads all rows."""
    version: str | None = None
    """A cheap SELECT whose result changes with the data, like `SELECT max(id) FROM events`: while it is the same, the
    step `ingest` is not repeated. By default the count and the largest value of the incremental column; without one,
    every run reads the data."""


class SqlSource(Section):
    """Tables of a database, read in chunks by its ADBC driver (`pip install shortlist[sql]`)."""

    kind: Literal["sql"]
    """The results of queries."""
    url: DatabaseUrl
    """`postgresql://user:${DB_PASSWORD}@host:5432/database`, `sqlite:///file.db`, or the URL of another database whose
    ADBC driver is installed. `${NAME}` is replaced when a connection is made and is never stored; a password must be
    such a variable."""
    events: SqlTable
    """The events; `columns` must give user_id, item_id and, unless time_unit is `row`, time."""
    items: SqlTable | None = None
    """One row per item; `columns` must give item_id, and may give `available_from` and `available_until`."""
    users: SqlTable | None = None
    """One row per user; `columns` must give user_id."""
    retries: int = Field(3, ge=0, le=20)
    """How often a query, or one of its parts, is started again after its connection was lost."""
