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


class Row(TypedDict, total=False):
    name: str
    k: int
    exclude: Sequence[Id]
    item_id: Id
    similar_to_last: bool
    sources: Sequence[str]
    rules: Rules


class Query(TypedDict, total=False):
    user_id: Id
    history: Sequence[Id]
    user: Mapping[str, Any]
    context: Mapping[str, Any]
    k: int
    exclude: Sequence[Id]
    item_id: Id
    similar_to_last: bool
    sources: Sequence[str]
    rules: Rules
    objective: Mapping[str, float]
    trace: bool
    time: float
    rows: Sequence[Row]
