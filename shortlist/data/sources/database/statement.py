"""The SQL that is sent: the user's SELECT, alone or as a part of ours."""

import datetime as dt
import re
from typing import Any

from shortlist.data.sources.errors import SourceError

_QUOTED_OR_COMMENT = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/", re.DOTALL)
_READS = re.compile(r"[\s(]*(?:SELECT|WITH|VALUES|TABLE)\b", re.IGNORECASE)


def one_select(sql: str, where: str) -> str:
    """The query without a last semicolon. Raises SourceError for anything but one SELECT."""
    bare = _QUOTED_OR_COMMENT.sub(lambda match: ("x" if match[0][0] in "'\"" else " ") * len(match[0]), sql)
    end = len(bare.rstrip().rstrip(";").rstrip())
    if ";" in bare[:end]:
        raise SourceError(f"{where}: there are several statements; write one SELECT")
    if not _READS.match(bare):
        first = (bare.split() or ["nothing"])[0]
        raise SourceError(f"{where}: begins with {first}, which is not a query; write one SELECT")
    return sql[:end]


def part_of(query: str, conditions: list[str]) -> str:
    """The rows of a query that meet all conditions; the query itself if there are none."""
    if not conditions:
        return query
    # The line break ends a comment of the query.
    return f"SELECT * FROM ({query}\n) AS part WHERE {' AND '.join(conditions)}"


def stats_of(query: str, stats: str, conditions: list[str]) -> str:
    """Aggregates over the rows of a query."""
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"SELECT {stats} FROM ({query}\n) AS whole{where}"


def name(column: str) -> str:
    """A column in quotes."""
    return '"' + column.replace('"', '""') + '"'


def literal(value: Any) -> str:
    """A whole number, a date, a time or a text as SQL."""
    if isinstance(value, int):
        return str(value)
    text = value.isoformat(*([" "] if isinstance(value, dt.datetime) else [])) if isinstance(value, dt.date) else value
    return "'" + str(text).replace("'", "''") + "'"
