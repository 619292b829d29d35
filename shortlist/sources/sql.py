"""The SQL of recipes: one Polars SQL expression, and messages that name the clause that is wrong.

`docs/expressions.md` is its page for users; `FUNCTIONS` are the functions that give a value for each row.
"""

import re
from collections.abc import Callable

import polars as pl

from shortlist.sources.errors import SourceError, near

FUNCTIONS = (
    *(
        "ABS",
        "CBRT",
        "CEIL",
        "EXP",
        "FLOOR",
        "LN",
        "LOG",
        "LOG10",
        "LOG1P",
        "LOG2",
        "MOD",
        "PI",
        "POW",
        "ROUND",
        "SIGN",
    ),
    *("SQRT", "TRUNC", "DIV"),
    *("COALESCE", "GREATEST", "LEAST", "IF", "IFNULL", "NULLIF"),
    *("CHAR_LENGTH", "CONCAT", "CONCAT_WS", "ENDS_WITH", "INITCAP", "LEFT", "LENGTH", "LOWER", "LPAD", "LTRIM"),
    *("NORMALIZE", "OCTET_LENGTH", "REGEXP_LIKE", "REPLACE", "REVERSE", "RIGHT", "RPAD", "RTRIM", "SPLIT_PART"),
    *("STARTS_WITH", "STRING_TO_ARRAY", "STRPOS", "SUBSTR", "TRIM", "UPPER"),
    *("DATE", "DATE_PART", "STRFTIME", "STRPTIME", "TIMESTAMP"),
    *("ARRAY_CONTAINS", "ARRAY_GET", "ARRAY_LENGTH", "ARRAY_REVERSE", "ARRAY_TO_STRING", "ARRAY_UNIQUE"),
)
_TYPES = "BIGINT, INTEGER, SMALLINT, DOUBLE, FLOAT, DECIMAL, VARCHAR, BOOLEAN, DATE, TIMESTAMP, TIME"
_INSTEAD = {
    "EXTRACT": "write EXTRACT(year FROM x) or DATE_PART(x, 'year')",
    "LEN": "write LENGTH(x) for text, ARRAY_LENGTH(x) for a list",
    "NVL": "write COALESCE(x, y)",
    "POSITION": "write STRPOS(x, 'part')",
    "REGEXP_EXTRACT": "SPLIT_PART(x, '-', 2) takes a part of text",
    "TO_DATE": "write STRPTIME(x, '%d.%m.%Y')",
    "TO_TIMESTAMP": "write STRPTIME(x, '%d.%m.%Y %H:%M')",
}
_UNSUPPORTED = {
    "SimilarTo": "SIMILAR TO is not supported; write REGEXP_LIKE(x, '^a|b$')",
    "RLike": "RLIKE is not supported; write REGEXP_LIKE(x, '^a|b$')",
    "PGOverlap": "&& is not supported; write AND",
    "BitwiseAnd": "& is not supported; write AND",
    "Interval": "INTERVAL is not supported here; compare with a date, like x >= DATE '2024-01-31'",
}
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"")


def parse(sql: str, where: str) -> pl.Expr:
    """One SQL expression. Raises SourceError, which begins with `where`, when it is none."""
    if problem := _unbalanced(sql):
        raise SourceError(f"{where}: {sql!r} is no SQL expression: {problem}")
    bare = _QUOTED.sub("x", sql)
    if re.search(r"\bselect\b", bare, re.IGNORECASE):
        raise SourceError(f"{where}: {sql!r} is a query; write the expression alone, like `price > 0`")
    try:
        expression = pl.sql_expr(sql)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise SourceError(f"{where}: {sql!r} is no SQL expression: {_explained(str(error), bare)}") from None
    if expression.meta.undo_aliases().meta != expression.meta:
        raise SourceError(
            f"{where}: {sql!r} is no SQL expression: {expression.meta.output_name()!r} after a value would be its "
            'name; an operator is missing, or quotes around a name of several words, like "unit price"'
        )
    return expression


def _unbalanced(sql: str) -> str:
    """What is wrong with quotes and parentheses, with its position; empty when nothing is."""
    left = _QUOTED.sub(lambda match: "x" * len(match[0]), sql)
    for mark, name in (("'", "text"), ('"', "a name")):
        if mark in left:
            return f"{name} that begins with {mark} at character {left.index(mark) + 1} does not end"
    opened: list[int] = []
    for at, letter in enumerate(left, 1):
        if letter == "(":
            opened.append(at)
        elif letter == ")":
            if not opened:
                return f"the ) at character {at} closes nothing"
            opened.pop()
    return f"the ( at character {opened[-1]} is not closed" if opened else ""


def _explained(error: str, bare: str) -> str:
    """Polars' message for a person: what is not supported, and what to write instead."""
    first = error.splitlines()[0]
    for pattern, told in _MESSAGES:
        found = re.search(pattern, first)
        if found and told is _no_function and not re.search(rf"\b{found[1]}\s*\(", bare, re.IGNORECASE):
            return _reserved(found[1])
        if found:
            return told(found[1])
    if first.startswith("unable to parse"):
        last = bare.rsplit(maxsplit=1)[-1] if bare.strip() else ""
        return f"it ends after {last!r}, or a value or an operator is missing" if last else "it is empty"
    return first.removeprefix("sql parser error: ")


def _no_function(name: str) -> str:
    name = name.upper()
    hint = _INSTEAD.get(name) or near(name, FUNCTIONS).removeprefix("; ") or "see docs/expressions.md"
    return f"there is no function {name}; {hint}"


def _not_supported(node: str) -> str:
    return _UNSUPPORTED.get(node, f"{node} is not supported by Polars SQL; see docs/expressions.md for what is")


def _reserved(word: str) -> str:
    return f'{word.upper()} is a word of SQL; a column of that name goes in double quotes: "{word}"'


_MESSAGES: tuple[tuple[str, Callable[[str], str]], ...] = (
    (r"^unsupported function '(\w+)'", _no_function),
    (r'^datatype "(.+)" is not', lambda name: f"there is no type {name}; there are {_TYPES}"),
    (r"^(?:expression|operator) (\w+)", _not_supported),
    (r"found '(\w+)' clause", _reserved),
    (r"unexpected token '(.+)'", lambda token: f"nothing may follow from {token!r} on"),
)
