"""One question as a client writes it, checked: every mistake gets one message that says where and how to mend it."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from shortlist.features import FeatureSchema, TableSchema
from shortlist.recipe import Serving
from shortlist.vocabulary import MAX_KEY_BYTES

MAX_QUESTIONS = 64
"""In one request."""
_KEYS = ("user_id", "history", "user", "context", "k", "exclude", "time")
MAX_TEXT_BYTES = 20_000
"""Of one column of text."""
_BAD_REQUEST, _TOO_LARGE = 400, 413

Id = str | int


class BadRequestError(ValueError):
    """A request that cannot be answered; `status` is the HTTP status that says so."""

    def __init__(self, message: str, status: int = _BAD_REQUEST) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Question:
    """What one client wants to know."""

    k: int
    """How many items."""
    user_id: Id | None = None
    history: list[Id] | None = None
    """Item ids in time order; None takes what the release knows of the user."""
    user: dict[str, Any] = field(default_factory=dict)
    """Raw user columns by name, instead of what the release knows: how somebody, or a notice, that it has never met
    describes itself."""
    context: dict[str, Any] = field(default_factory=dict)
    """Raw context columns by name; a missing one is unknown."""
    exclude: Sequence[Id] = ()
    """Item ids that must not come back."""
    time: int | None = None
    """Seconds since the epoch at which it is asked; None is now."""


def parse_questions(body: Any, limits: Serving, schema: FeatureSchema) -> list[Question]:
    """The questions of `{"instances": [...]}`. Raises BadRequestError."""
    if not isinstance(body, dict):
        raise BadRequestError(
            f'the body is {_kind(body)}; send a JSON object like {{"instances": [{{"user_id": 7, "k": 10}}]}}'
        )
    _refuse_unknown("the body", body, ("instances",))
    instances = body.get("instances")
    if not isinstance(instances, list) or not instances:
        shown = "is missing" if instances is None else "is empty" if instances == [] else f"is {_kind(instances)}"
        raise BadRequestError(f'instances {shown}; send a list of questions, like [{{"user_id": 7, "k": 10}}]')
    if len(instances) > MAX_QUESTIONS:
        raise BadRequestError(f"instances has {len(instances)} questions, at most {MAX_QUESTIONS} fit", _TOO_LARGE)
    return [parse_question(one, limits, schema, f"instances[{i}]") for i, one in enumerate(instances)]


def parse_question(given: Any, limits: Serving, schema: FeatureSchema, where: str) -> Question:
    """Raises BadRequestError; `where` names the question in its message."""
    if not isinstance(given, dict):
        raise BadRequestError(f'{where} is {_kind(given)}; a question is an object like {{"user_id": 7, "k": 10}}')
    _refuse_unknown(where, given, _KEYS)
    user_id, history, time = given.get("user_id"), given.get("history"), given.get("time")
    if user_id is not None:
        _check_id(user_id, f"{where}.user_id")
    if history is not None:
        _check_ids(history, limits, f"{where}.history")
    if time is not None and (type(time) not in (int, float) or not 0 <= time < 2**40):
        raise BadRequestError(f"{where}.time is {_kind(time)}; it is seconds since 1970, like 1767225600")
    exclude = given.get("exclude")
    if exclude is not None:
        _check_ids(exclude, limits, f"{where}.exclude")
    return Question(
        k=_k(given.get("k"), limits, f"{where}.k"),
        user_id=user_id,
        history=history,
        user=_columns(given.get("user"), schema.user, f"{where}.user"),
        context=_columns(given.get("context"), schema.context, f"{where}.context"),
        exclude=exclude or (),
        time=None if time is None else int(time),
    )


def _k(given: Any, limits: Serving, where: str) -> int:
    if given is None:
        return min(limits.default_k, limits.max_k)
    if type(given) is not int or not 1 <= given <= limits.max_k:
        shown = given if type(given) in (int, float) else _kind(given)
        raise BadRequestError(f"{where} is {shown}; it must be a whole number from 1 to {limits.max_k} (serving.max_k)")
    return given


def _columns(given: Any, schema: TableSchema, where: str) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise BadRequestError(f"{where} is {_kind(given)}; it is an object of column names and values")
    words = [one.name for one in schema.categorical]
    numbers = [one.name for one in schema.numeric]
    texts = [] if schema.text is None else [name for name in schema.text.columns if name not in words]
    _refuse_unknown(where, given, [*words, *numbers, *texts])
    for name, value in given.items():
        if name in numbers and not (value is None or type(value) in (int, float)):
            raise BadRequestError(f"{where}.{name} is {_kind(value)}; it must be a number or null")
        for one in value if isinstance(value, list) else [value]:
            if type(one) not in (str, int, float, bool, type(None)):
                raise BadRequestError(f"{where}.{name} is or holds {_kind(one)}; it must be text, a number or null")
            if isinstance(one, str):
                _check_length(one, f"{where}.{name}", MAX_TEXT_BYTES if name in texts else MAX_KEY_BYTES)
    return given


def _check_ids(given: Any, limits: Serving, where: str) -> None:
    if not isinstance(given, list):
        raise BadRequestError(f"{where} is {_kind(given)}; it is a list of item ids in time order, like [17, 4]")
    if len(given) > limits.max_history:
        raise BadRequestError(
            f"{where} has {len(given)} ids, at most {limits.max_history} fit (serving.max_history); send the last ones",
            _TOO_LARGE,
        )
    for i, one in enumerate(given):
        _check_id(one, where, i)


def _check_id(given: Any, where: str, at: int | None = None) -> None:
    kind = type(given)
    if kind is str:
        _check_length(given, where)
    elif kind is not int or not -(2**63) <= given < 2**63:
        place = where if at is None else f"{where}[{at}]"
        shown = "out of range" if kind is int else _kind(given)
        raise BadRequestError(f"{place} is {shown}; an id is text or a whole number of 64 bits")


def _check_length(given: str, where: str, most: int = MAX_KEY_BYTES) -> None:
    if len(given) > most:
        raise BadRequestError(f"{where} has a word of {len(given)} letters, at most {most} fit", _TOO_LARGE)


def _refuse_unknown(where: str, given: dict[Any, Any], allowed: Sequence[str]) -> None:
    for key in given:
        if key not in allowed:
            near = difflib.get_close_matches(str(key), allowed, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}? " if near else ""
            shown = str(key)[:60]
            raise BadRequestError(
                f"{where} has the unknown key {shown!r}; {hint}allowed: {', '.join(allowed) or 'nothing'}"
            )


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), "no JSON")
