"""Queries as the HTTP API has them; docs/api.md, docs/rules.md and docs/objectives.md describe each key."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

Id = int | str


class Boost(TypedDict):
    where: str
    by: float


class Rules(TypedDict, total=False):
    where: str
    only: Sequence[Id]
    pin: Sequence[Id]
    boost: Sequence[Boost]
    at_most: Mapping[str, int]
    diversity: float


class Options(TypedDict, total=False):
    """What a query and a row of a page may both say of a list."""

    k: int
    exclude: Sequence[Id]
    item_id: Id
    similar_to_last: bool
    sources: Sequence[str]
    rules: Rules
    objective: Mapping[str, float]


class Row(Options, total=False):
    name: str


class Query(Options, total=False):
    user_id: Id
    history: Sequence[Id]
    history_times: Sequence[float]
    user: Mapping[str, Any]
    context: Mapping[str, Any]
    trace: bool
    time: float
    rows: Sequence[Row]
