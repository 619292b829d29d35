"""Every SQL expression of a recipe, checked without data."""

import re
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel

from shortlist.recipe import Recipe
from shortlist.recipe.fields import SqlText
from shortlist.sources.errors import SourceError
from shortlist.sources.sql import parse

_MAY_BE_A_COLUMN = re.compile(r"[\w ]+")
"""Only the data tell whether `user` or `Unit Price` is a column, whose bare name is an expression."""


def check_expressions(recipe: Recipe) -> None:
    """Raises SourceError with a line for each expression that is no SQL."""
    wrong = []
    for where, sql in expressions_of(recipe):
        if _MAY_BE_A_COLUMN.fullmatch(sql):
            continue
        try:
            parse(sql, where)
        except SourceError as error:
            wrong.append(str(error))
    if wrong:
        count = len(wrong)
        listed = "".join(f"\n  {one}" for one in wrong)
        raise SourceError(f"{count} SQL expression{'s' * (count != 1)} cannot be used{listed}")


def expressions_of(section: BaseModel, path: str = "") -> Iterator[tuple[str, str]]:
    """YAML path and text of each expression, in the order of the schema."""
    for name, field in type(section).model_fields.items():
        is_sql = any(isinstance(one, SqlText) for one in field.metadata) or _holds_sql(field.annotation)
        yield from _expressions(getattr(section, name), f"{path}{name}", is_sql=is_sql)


def _expressions(value: Any, path: str, *, is_sql: bool) -> Iterator[tuple[str, str]]:
    if isinstance(value, BaseModel):
        yield from expressions_of(value, f"{path}.")
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _expressions(one, f"{path}.{key}", is_sql=is_sql)
    elif isinstance(value, list):
        for i, one in enumerate(value):
            yield from _expressions(one, f"{path}.{i}", is_sql=is_sql)
    elif is_sql and isinstance(value, str):
        yield path, value


def _holds_sql(annotation: Any) -> bool:
    """Whether an annotation is an Expression, or a mapping or a choice that holds one."""
    metadata = getattr(annotation, "__metadata__", ())
    return any(isinstance(one, SqlText) for one in metadata) or any(_holds_sql(one) for one in get_args(annotation))
