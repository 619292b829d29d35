"""The recipe's SQL expressions, bound to the columns that are there."""

import polars as pl

from shortlist.sources.errors import SourceError, missing_column
from shortlist.sources.sql import parse


def bind(sql: str, schema: pl.Schema, *, where: str, file: str) -> pl.Expr:
    """The expression over rows of `schema`.

    `where` is its YAML path and `file` the table's name, for messages. Raises SourceError when it is no SQL, names a
    column that is not there, does not fit its columns' types, or sums up rows instead of giving a value for each.
    """
    if sql in schema:  # also a column whose name SQL keeps for itself, like `user`
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
    if probe.height == 1 and expression.meta.root_names():
        raise SourceError(f"{where}: {sql!r} gives one value for all rows; use an expression that gives one for each")
    return expression


def bound_columns(columns: dict[str, str], schema: pl.Schema, *, where: str, file: str) -> dict[str, pl.Expr]:
    """Our columns, each bound."""
    return {ours: bind(sql, schema, where=f"{where}.columns.{ours}", file=file) for ours, sql in columns.items()}


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
