"""Checks the SQL expressions of a recipe without data."""

import re
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel

from shortlist.data.sources.errors import SourceError
from shortlist.data.sources.sql import parse
from shortlist.recipe import Recipe, RecipeError
from shortlist.recipe.fields import SqlText
from shortlist.recipe.yaml_text import line_of

_Path = tuple[str | int, ...]
_MAY_BE_A_COLUMN = re.compile(r"\w+(?: (?!(?:AND|OR|NOT|IN|IS|LIKE|ILIKE|BETWEEN|THEN)\b)\w+)*", re.IGNORECASE)
"""A bare column name such as `user` or `Unit Price` is an expression, and only the data shows whether it exists."""


def check_expressions(recipe: Recipe, origin: str, text: str) -> None:
    """Raises RecipeError with a line for each invalid expression.

    `origin` names the recipe in the message, and `text` is its YAML, for line numbers.
    """
    wrong = []
    for path, sql in expressions_of(recipe):
        if _MAY_BE_A_COLUMN.fullmatch(sql):
            continue
        try:
            parse(sql, ".".join(map(str, path)))
        except SourceError as error:
            line = line_of(text, path)
            wrong.append((f"line {line}: " if line else "") + str(error))
    if wrong:
        listed = "".join(f"\n  {one}" for one in wrong)
        raise RecipeError(f"{origin}: {len(wrong)} error{'s' * (len(wrong) != 1)}{listed}")


def expressions_of(section: BaseModel, path: _Path = ()) -> Iterator[tuple[_Path, str]]:
    """The YAML path and text of each expression, in the order of the schema."""
    for name, field in type(section).model_fields.items():
        is_sql = any(isinstance(one, SqlText) for one in field.metadata) or _holds_sql(field.annotation)
        yield from _expressions(getattr(section, name), (*path, name), is_sql=is_sql)


def _expressions(value: Any, path: _Path, *, is_sql: bool) -> Iterator[tuple[_Path, str]]:
    if isinstance(value, BaseModel):
        yield from expressions_of(value, path)
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _expressions(one, (*path, key), is_sql=is_sql)
    elif isinstance(value, list):
        for i, one in enumerate(value):
            yield from _expressions(one, (*path, i), is_sql=is_sql)
    elif is_sql and isinstance(value, str):
        yield path, value


def _holds_sql(annotation: Any) -> bool:
    """Whether an annotation is an Expression, or a mapping or a union that contains one."""
    metadata = getattr(annotation, "__metadata__", ())
    return any(isinstance(one, SqlText) for one in metadata) or any(_holds_sql(one) for one in get_args(annotation))
