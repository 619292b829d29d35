"""Binds the recipe's SQL expressions to the columns of a table."""

import re

import polars as pl

from shortlist.data.sources.errors import SourceError, missing_column
from shortlist.data.sources.sql import parse

_NO_CAST = re.compile(r"casting from \S+ to (\w+)[\w ]* not supported")
_INSTEAD_OF_CAST = {
    "date": "DATE(x), or with another order DATE(x, '%d.%m.%Y')",
    "datetime": "TIMESTAMP(x) for text like 2024-01-31 10:00:00, or STRPTIME(x, '%d.%m.%Y %H:%M')",
    "time": "STRPTIME(x, '%d.%m.%Y %H:%M') of the date and the time",
    "boolean": "a comparison, like x = 'true'",
    "list": "CAST(STRING_TO_ARRAY(x, ' ') AS BIGINT[])",
}


def bind(sql: str, schema: pl.Schema, *, where: str, file: str) -> pl.Expr:
    """The expression over rows of `schema`.

    `where` is its YAML path and `file` the name of the table, for messages. Raises SourceError when it is not valid
    SQL, uses a missing column, does not match the types of its columns, or aggregates rows.
    """
    if sql in schema:  # also a column whose name is reserved in SQL, like `user`
        return pl.col(sql)
    expression = parse(sql, where)
    for name in expression.meta.root_names():
        if name not in schema:
            text = f"; is it text? Then write '{name}' in single quotes" if f'"{name}"' in sql else ""
            raise SourceError(f"{missing_column(where, name, file, schema.names())}{text}")
    try:
        probe = pl.DataFrame({name: [None, None] for name in schema}, schema=schema).select(expression)
    except pl.exceptions.PolarsError as error:
        raise SourceError(f"{where}: {sql!r} does not work on {file}: {_first_line(error)}") from None
    if cast := _impossible_cast(expression, schema):
        raise SourceError(f"{where}: {sql!r} does not work on {file}: {cast}")
    if probe.height == 1 and expression.meta.root_names():
        raise SourceError(
            f"{where}: {sql!r} gives one value for all rows; use an expression that gives one value per row"
        )
    return expression


def _impossible_cast(expression: pl.Expr, schema: pl.Schema) -> str:
    """The problem of a CAST that Polars refuses for all values, which it reports only for actual values; else empty."""
    values = {name: "0" if kind == pl.String else 0 if kind.is_integer() else None for name, kind in schema.items()}
    row = pl.DataFrame({name: pl.Series([value], dtype=schema[name]) for name, value in values.items()})
    try:
        row.select(expression)
    except pl.exceptions.PolarsError as error:
        if found := _NO_CAST.search(str(error)):
            kind = found[1].lower()
            source = "text" if "from int" not in str(error).lower() else "a number"
            return f"CAST cannot convert {source} to {kind}" + (
                f"; write {_INSTEAD_OF_CAST[kind]}" if kind in _INSTEAD_OF_CAST else ""
            )
    return ""


def condition(value: pl.Expr, frame: pl.LazyFrame, sql: str, *, where: str, example: str) -> pl.Expr:
    """The bound expression `value` as a condition, with null as false.

    Raises SourceError when it is not boolean; `example` is a condition for the message.
    """
    kind = frame.select(value.alias("value")).collect_schema()["value"]
    if kind != pl.Boolean:
        raise SourceError(f"{where}: {sql!r} gives {kind}, not TRUE or FALSE; write a comparison, like `{example}`")
    return value.fill_null(value=False)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
