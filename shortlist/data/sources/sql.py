"""Parses the SQL expressions of recipes with Polars; error messages name the wrong clause and its position.

The user documentation is `docs/expressions.md`; the functions are listed in `sql_names`.
"""

import re
from collections.abc import Callable

import polars as pl

from shortlist.data.sources.errors import SourceError
from shortlist.data.sources.sql_names import AGGREGATES, OF_OTHER_SHAPE, TYPES, instead_of, instead_of_construct

_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"")
_PLACE = re.compile(r"Expected: (.+), found: (.+) at Line: (\d+), Column: (\d+)")
_BEFORE = "SELECT ("
_NULL = re.compile(r"(?<![<>])(=|==|<>|!=)\s*NULL\b", re.IGNORECASE)


def parse(sql: str, where: str) -> pl.Expr:
    """Parse one SQL expression. Raises SourceError, whose message begins with `where`, if it is not valid."""
    bare = _QUOTED.sub(lambda match: "x" * len(match[0]), sql)
    try:
        problem = _unbalanced(bare) or _syntax(sql) or _misunderstanding(bare)
        expression = None if problem else pl.sql_expr(sql)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        problem = _explained(str(error), bare)
    if problem or expression is None:
        raise SourceError(f"{where}: {sql!r} is not a valid SQL expression: {problem}")
    return expression


def names_in(sql: str) -> list[str]:
    """The columns of an expression without duplicates; empty if it is not valid, which `parse` reports."""
    try:
        return list(dict.fromkeys(pl.sql_expr(sql).meta.root_names()))
    except pl.exceptions.PolarsError:
        return []


def _unbalanced(bare: str) -> str:
    """The error in quotes or parentheses with its position; empty if there is none."""
    for mark, name in (("'", "text"), ('"', "name")):
        if mark in bare:
            return f"the {name} that begins with {mark} at character {bare.index(mark) + 1} is not closed"
    opened: list[int] = []
    for at, letter in enumerate(bare, 1):
        if letter == "(":
            opened.append(at)
        elif letter == ")":
            if not opened:
                return f"the ) at character {at} has no matching ("
            opened.pop()
    return f"the ( at character {opened[-1]} is not closed" if opened else ""


def _syntax(sql: str) -> str:
    """The syntax error with its position, which Polars reports for statements but not for expressions; else empty."""
    if not sql.strip():
        return "it is empty"
    try:
        pl.SQLContext(t=pl.LazyFrame()).execute(f"{_BEFORE}{sql}\n) FROM t", eager=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        place = _PLACE.search(str(error))
        if place is None:
            return ""  # the syntax is valid; `pl.sql_expr` reports other errors
        expected = {")": "an operator or the end", "end of statement": "the end"}.get(place[1], place[1])
        return f"{_where(sql, int(place[3]), int(place[4]))}{expected} is expected{_hint(place[2], sql)}"
    return ""


def _where(sql: str, line: int, column: int) -> str:
    """The position in a statement as one in the expression: `at character 6, '1', `."""
    lines = sql.split("\n")
    if line > len(lines):
        return f"at the end, after {sql.rsplit(maxsplit=1)[-1]!r}, "
    at = sum(len(one) + 1 for one in lines[: line - 1]) + column - (len(_BEFORE) if line == 1 else 0)
    return f"at character {at}, {sql[at - 1 :].split(maxsplit=1)[0][:20]!r}, "


def _hint(found: str, sql: str) -> str:
    cases, ends = (len(re.findall(rf"\b{word}\b", _QUOTED.sub("", sql), re.IGNORECASE)) for word in ("CASE", "END"))
    if cases > ends:
        return "; CASE ... needs an END"
    hints = {"!": "; write NOT", "*": "; a power is POW(x, 2)", "[": "; a name of several words goes in double quotes"}
    return hints.get(found, "")


def _misunderstanding(bare: str) -> str:
    """Valid SQL that is not intended: queries, aggregates over all rows, comparisons with NULL."""
    if query := re.search(r"\bselect\b", bare, re.IGNORECASE):
        return f"it is a query, from character {query.start() + 1}; write the expression alone, like `price > 0`"
    if null := _NULL.search(bare):
        test = "IS NULL" if null[1] in ("=", "==") else "IS NOT NULL"
        return f"{null[0]!r} at character {null.start() + 1} is never true; write {test}"
    for call in re.finditer(r"\b(\w+)\s*\(", bare):
        name = call[1].upper()
        if name in AGGREGATES and not re.match(r"\s*OVER\b", bare[_closing(bare, call.end()) :], re.IGNORECASE):
            return (
                f"{name} at character {call.start() + 1} aggregates rows, but an expression has one value per row; "
                f"per group write {name}(...) OVER (PARTITION BY x){AGGREGATES[name]}"
            )
        if name in OF_OTHER_SHAPE:
            return f"{name} at character {call.start() + 1} {OF_OTHER_SHAPE[name]}"
    return ""


def _closing(bare: str, inside: int) -> int:
    """The position after the parenthesis that matches the one before `inside`."""
    depth = 1
    for at in range(inside, len(bare)):
        depth += {"(": 1, ")": -1}.get(bare[at], 0)
        if not depth:
            return at + 1
    return len(bare)


def _explained(error: str, bare: str) -> str:
    """A readable form of Polars' message: what is not supported, where, and what to write instead."""
    first = error.splitlines()[0]
    for pattern, message in _MESSAGES:
        if found := re.search(pattern, first):
            return message(found, bare)
    if first.startswith("unable to parse"):
        return "one value for each row is expected"
    if first.startswith("called `"):
        return "a function in it has too few arguments"
    return first.removeprefix("sql parser error: ")


def _no_function(found: re.Match[str], bare: str) -> str:
    name = found[1]
    call = re.search(rf"\b{re.escape(name)}\s*(\(|\.)", bare, re.IGNORECASE)
    if call is None:
        return _reserved(found, bare)
    if call[1] == ".":
        return f"{bare[call.start() :].split('(', maxsplit=1)[0]!r} is not SQL; write a function like LOWER({name})"
    return f"there is no function {name.upper()} (character {call.start() + 1}); {instead_of(name.upper())}"


def _not_supported(found: re.Match[str], bare: str) -> str:
    places = [int(at) for at in re.findall(r"Location\(1,(\d+)\)", found.string) if int(at)]
    near = f" (near character {min(places)})" if places and "\n" not in bare else ""
    return f"{instead_of_construct(found[1])}{near}"


def _reserved(found: re.Match[str], _: str) -> str:
    return f'{found[1].upper()} is an SQL keyword; write a column of that name in double quotes: "{found[1]}"'


_MESSAGES: tuple[tuple[str, Callable[[re.Match[str], str], str]], ...] = (
    (r"^unsupported function '(\w+)'", _no_function),
    (r'^datatype "(.+)" is not', lambda found, _: f"there is no type {found[1]}; there are {TYPES}"),
    (r"^(?:expression|operator) (\w+)", _not_supported),
    (r"^value (Placeholder)", _not_supported),
    (r"^(DATE_TRUNC|AT TIME ZONE) c", _not_supported),
    (r"found '(\w+)' clause", _reserved),
    (r"unexpected token '(.+)'", lambda found, _: f"{found[1]!r} is not expected"),
)
