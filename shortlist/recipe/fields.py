"""The types of recipe fields."""

import re
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from shortlist.names import plain

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


POSITIVE = "positive"
"""The name of the first objective, `interactions.positive`, among the labels."""


class Section(BaseModel):
    """A block of the recipe: unknown keys are errors, and values are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def _seconds(value: Any) -> Any:
    if isinstance(value, str):
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", value.strip())
        if match is None:
            raise ValueError(f"{value!r} is not a duration: write a number and s, m, h, d or w, like 30m or 7d")
        return round(float(match[1]) * _SECONDS[match[2]])
    return value


def _sql_constant(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).upper()
    return str(value) if isinstance(value, int | float) else value


def _quoted(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        raise ValueError(f'YAML reads this word as {value!r}; write it in quotes, like "NULL" or "-1"')
    return value


def _moment(value: str) -> str:
    try:
        datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(f"{value!r} is not an ISO date: write it like 2024-01-31, or 2024-01-31T10:00:00Z") from None
    return value


def _one_word(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", value):
        raise ValueError("use 1 to 63 lower-case letters, digits and '-', as Kubernetes does, like 'my-shop'")
    return value


def _label(value: str) -> str:
    if value == POSITIVE:
        raise ValueError(f"{value!r} is the name of interactions.positive; use another name")
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", value):
        raise ValueError(f"{value!r}: a label is up to 40 lower-case letters, digits and '_', like 'liked'")
    return value


def _column_file(value: str) -> str:
    if "/" in plain(value) or value.startswith("."):
        raise ValueError(f"{value!r}: files are named after this column; give it a name without '/' in `columns`")
    return value


Duration = Annotated[
    int,
    BeforeValidator(_seconds, json_schema_input_type=str | int),
    Field(ge=0),
]
"""Seconds; written as 30m, 12h, 7d, 2w or a number of seconds."""

Moment = Annotated[str, AfterValidator(_moment)]
"""An ISO date or time, in UTC if it has no time zone."""

Until = Annotated[str, AfterValidator(lambda written: written if written == "now" else _moment(written))]
"""An ISO date or time, or `now`."""

Name = Annotated[str, AfterValidator(_one_word)]
"""A Kubernetes-safe name."""

ColumnFile = Annotated[str, AfterValidator(_column_file)]
"""A column that files are named after."""

LabelName = Annotated[str, AfterValidator(_label)]
"""The name of a label of an event."""

Share = Annotated[float, Field(ge=0.0, le=1.0)]
"""A share, from 0 to 1."""

Weight = Annotated[float, Field(ge=-100, le=100)]
"""The weight of an objective; below 0 for what a list should avoid."""

Word = Annotated[str, BeforeValidator(_quoted)]
"""A text as it is written in a file."""


class SqlText:
    """Marks the fields that contain SQL, so that all of them can be checked."""


Expression = Annotated[
    str,
    SqlText(),
    BeforeValidator(_sql_constant, json_schema_input_type=str | float | bool),
    Field(min_length=1),
]
"""A SQL expression over the raw columns, such as `rating >= 4`; also a column name, a number or true.
docs/expressions.md describes the SQL dialect."""

Separator = Annotated[str, AfterValidator(lambda written: written.replace("\\t", "\t")), Field(min_length=1)]
"""A field separator; a tab may be written as \\t in any kind of quotes."""
