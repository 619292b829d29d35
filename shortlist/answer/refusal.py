"""Error messages for bad requests, in one sentence: the location, the value and what is allowed."""

import difflib
import math
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from shortlist.answer.request_schema import MAX_BOOSTS, MAX_INSTANCES, MAX_LIMITS, MAX_ROWS, MAX_TEXT, MAX_WEIGHT
from shortlist.data.keys import MAX_KEY_BYTES
from shortlist.features.item_mask import MAX_LENGTH
from shortlist.recipe import Serving

ROW_KEYS = ("name", "k", "exclude", "item_id", "similar_to_last", "sources", "rules", "objective")
QUERY_KEYS = ("user_id", "history", "history_times", "user", "context", *ROW_KEYS[1:], "trace", "time", "rows")
_RULES = {
    "where": f"it is an expression of at most {MAX_LENGTH:,} characters, like \"genre = 'jazz'\"",
    "only": "it is a list of item ids, like [17, 4]",
    "pin": "it is a list of item ids, at most serving.max_k, like [17, 4]",
    "boost": f"it is a list of at most {MAX_BOOSTS} objects of `where` and `by`, a number from -100 to 100",
    "at_most": f'it is an object of at most {MAX_LIMITS} categories and numbers from 1, like {{"artist": 2}}',
    "diversity": "it is a number from 0 to 1",
}
_BAD_REQUEST, _TOO_LARGE = 400, 413
_EXAMPLE = '{"user_id": 7, "k": 10}'
_A_TIME = "seconds since 1970 (not milliseconds), like 1767225600"
_SHOWN = 60
_MANY = 1000
"""Number of errors from which they are only counted."""


class BadRequestError(ValueError):
    """A request that cannot be answered; `status` is the HTTP status of the response."""

    def __init__(self, message: str, status: int = _BAD_REQUEST) -> None:
        super().__init__(message)
        self.status = status


class Refuser:
    """Explains pydantic's errors in terms of the limits, columns and objectives of a release."""

    def __init__(self, limits: Serving, user: Sequence[str], context: Sequence[str], objectives: Sequence[str]) -> None:
        self._max_history = limits.max_history
        self._columns = {"user": user, "context": context}
        self._objectives = objectives
        self._numbers = {
            "k": f"it must be a whole number from 1 to {limits.max_k} (serving.max_k)",
            "trace": "it is true or false",
            "sources": 'it is a list of 1 to 32 names of candidate sources, like ["new_items"]',
            "similar_to_last": "it is true or false",
            "time": f"it is {_A_TIME}",
        }

    def refusal(self, error: ValidationError, where: str) -> BadRequestError:
        """The first error of a request, or of the query that `where` names."""
        if error.error_count() > _MANY:
            # Listing them all would block other requests.
            return BadRequestError(f"{where or 'the body'} has {error.error_count()} unknown keys or wrong values")
        errors = error.errors(include_url=False)
        # If a key is misspelt, the correct one is reported as missing.
        first = errors[-1] if errors[0]["type"] == "missing" else errors[0]
        if first["type"] == "json_invalid":
            return not_json(first["input"], first["ctx"]["error"], where or "the body")
        loc = first["loc"]
        if not where:
            if len(loc) < 2:
                return _of_the_body(first["type"], loc, first["input"])
            where, loc = f"instances[{loc[1]}]", loc[2:]
        keys: tuple[str, ...] = QUERY_KEYS
        if len(loc) > 1 and loc[0] == "rows" and isinstance(loc[1], int):
            where, loc, keys = f"{where}.rows[{loc[1]}]", loc[2:], ROW_KEYS
        if first["type"] == "extra_forbidden":
            return self._of_an_unknown_key(where, loc, keys)
        if not loc:
            kind = "query" if keys is QUERY_KEYS else "row"
            return BadRequestError(f"{where} is {kind_of(first['input'])}; a {kind} must be an object like {_EXAMPLE}")
        return self._of_a_key(where, str(loc[0]), loc[1:], first["type"], first["input"])

    def no_weight(self, where: str) -> BadRequestError:
        """The error for an objective without a weight that is not 0."""
        return BadRequestError(f"{where}.objective has no weight other than 0; send {self._weights()}")

    def _weights(self) -> str:
        named = ", ".join(self._objectives)
        return f'an object of weights of {named}, like {{"{self._objectives[-1]}": 1}}'

    def _of_an_unknown_key(self, where: str, loc: Sequence[Any], keys: Sequence[str]) -> BadRequestError:
        *inside, key = loc
        name = str(inside[0]) if inside else ""
        allowed = self._objectives if name == "objective" else self._columns.get(name, keys)
        if name == "rules":
            name, allowed = ("rules.boost", ("where", "by")) if "boost" in inside else (name, tuple(_RULES))
        return BadRequestError(f"{where}{'.' + name if name else ''} has {_unknown_key(str(key), allowed)}")

    def _of_a_key(self, where: str, name: str, rest: tuple[Any, ...], kind: str, given: Any) -> BadRequestError:
        """`rest` is the location below a query's key: columns, positions of a list, members of a union."""
        where = f"{where}.{name}"
        if name == "rules":
            return _of_a_rule(where, next((part for part in rest if part in _RULES), None), given, kind)
        if name == "history_times":
            return self._of_times(where, rest, kind, given)
        if name in ("name", "rows"):
            return _of_a_name(where, given) if name == "name" else _of_rows(where, kind, given)
        if name in self._numbers:
            shown = str(given)[:_SHOWN] if kind_of(given) == "a number" else kind_of(given)
            return BadRequestError(f"{where} is {shown}; {self._numbers[name]}")
        if name in self._columns:
            return _of_columns(where, rest, kind, given)
        return (
            self._of_an_objective(where, rest, given)
            if name == "objective"
            else self._of_ids(where, name, rest, kind, given)
        )

    def _of_an_objective(self, where: str, rest: tuple[Any, ...], given: Any) -> BadRequestError:
        at = f"{where}.{rest[0]}" if rest else where
        shown = str(given)[:_SHOWN] if rest and kind_of(given) == "a number" else kind_of(given)
        wanted = f"a weight is a number from -{MAX_WEIGHT} to {MAX_WEIGHT}" if rest else f"it is {self._weights()}"
        return BadRequestError(f"{at} is {shown}; {wanted}")

    def _of_times(self, where: str, rest: tuple[Any, ...], kind: str, given: Any) -> BadRequestError:
        if kind == "too_long":
            return self._too_many(where, len(given), "times")
        if not rest or not isinstance(rest[0], int):
            return BadRequestError(f"{where} is {kind_of(given)}; it must be a list of times, each {_A_TIME}")
        shown = str(given)[:_SHOWN] if kind_of(given) == "a number" else kind_of(given)
        return BadRequestError(f"{where}[{rest[0]}] is {shown}; a time is {_A_TIME}")

    def _too_many(self, where: str, number: int, what: str) -> BadRequestError:
        allowed = f"at most {self._max_history} are allowed (serving.max_history); send the last ones"
        return BadRequestError(f"{where} has {number} {what}, {allowed}", _TOO_LARGE)

    def _of_ids(self, where: str, name: str, rest: tuple[Any, ...], kind: str, given: Any) -> BadRequestError:
        if kind == "too_long":
            return self._too_many(where, len(given), "ids")
        if name not in ("user_id", "item_id") and not rest:
            required = "it must be a list of item ids in time order, like [17, 4]"
            return BadRequestError(f"{where} is {kind_of(given)}; {required}")
        at = next((f"[{part}]" for part in rest if isinstance(part, int)), "")
        return _of_an_id(f"{where}{at}", given)


def not_json(body: bytes, reason: str, what: str) -> BadRequestError:
    """The error for a body that cannot be parsed."""
    if not body.strip():
        return BadRequestError(f"{what} is empty; send a JSON object like {_instances()}")
    hint = ""
    if body.startswith(b"\x1f\x8b"):
        hint = "; it looks compressed, send it uncompressed"
    elif b"\0" in body[:4]:
        hint = "; it looks like UTF-16 or UTF-32, send UTF-8"
    else:
        try:
            body.decode()
        except UnicodeDecodeError as error:
            hint = f"; it is not UTF-8: byte {body[error.start]:#04x} at position {error.start}"
    return BadRequestError(f"{what} is not JSON: {reason}{hint}")


def kind_of(value: Any) -> str:
    """The name of a JSON value's type, for a message."""
    if value is None:
        return "null"
    if isinstance(value, float) and not math.isfinite(value):
        return "not a finite number"
    names = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), "not JSON")


def _of_the_body(kind: str, loc: Sequence[Any], given: Any) -> BadRequestError:
    if kind == "extra_forbidden":
        return BadRequestError(f"the body has {_unknown_key(str(loc[0]), ('instances',))}")
    if kind == "too_long":
        return BadRequestError(f"instances has {len(given)} queries, at most {MAX_INSTANCES} are allowed", _TOO_LARGE)
    if not loc:
        return BadRequestError(f"the body is {kind_of(given)}; send a JSON object like {_instances()}")
    shown = "is missing" if kind == "missing" else "is empty" if kind == "too_short" else f"is {kind_of(given)}"
    return BadRequestError(f"instances {shown}; send a list of queries, like [{_EXAMPLE}]")


def _of_a_rule(where: str, name: str | None, given: Any, kind: str) -> BadRequestError:
    """`given` is the value of the rule or a value in it."""
    if name is None:
        return BadRequestError(f"{where} is {kind_of(given)}; it must be an object of {', '.join(_RULES)}")
    found = (
        "lacks a key"
        if kind == "missing"
        else "is or contains " + (str(given)[:_SHOWN] if kind_of(given) == "a number" else kind_of(given))
    )
    return BadRequestError(
        f"{where}.{name} {found}; {_RULES[name]}", _TOO_LARGE if kind == "too_long" else _BAD_REQUEST
    )


def _of_rows(where: str, kind: str, given: Any) -> BadRequestError:
    if kind == "too_long":
        return BadRequestError(f"{where} has {len(given)} rows, at most {MAX_ROWS} are allowed", _TOO_LARGE)
    shown = "empty" if kind == "too_short" else kind_of(given)
    return BadRequestError(f'{where} is {shown}; it must be a list of rows, like [{{"name": "for you", "k": 10}}]')


def _of_a_name(where: str, given: Any) -> BadRequestError:
    if isinstance(given, str):
        return _too_long(where, given, MAX_KEY_BYTES)
    return BadRequestError(f"{where} is {kind_of(given)}; it must be text")


def _of_an_id(where: str, given: Any) -> BadRequestError:
    if isinstance(given, str):
        return _too_long(where, given, MAX_KEY_BYTES)
    shown = "out of range" if type(given) is int else kind_of(given)
    return BadRequestError(f"{where} is {shown}; an id must be text or a 64-bit integer")


def _of_columns(where: str, rest: Sequence[Any], kind: str, given: Any) -> BadRequestError:
    if not rest or not isinstance(rest[0], str) or kind == "dict_type":
        return BadRequestError(f"{where} is {kind_of(given)}; it must be an object of column names and values")
    return _of_a_column(f"{where}.{rest[0]}", rest[1:], given)


def _of_a_column(where: str, rest: Sequence[Any], given: Any) -> BadRequestError:
    """The error for a value of a column, an element of a list of values, or a nested list."""
    if not rest:
        return BadRequestError(f"{where} is {kind_of(given)}; it must be a number or null")
    for one in given if isinstance(given, list) else [given]:
        if isinstance(one, str):
            most = MAX_KEY_BYTES if len(one) <= MAX_TEXT else MAX_TEXT
            if len(one) > most:
                return _too_long(where, one, most)
    wrong = [one for one in given if isinstance(one, list | dict)] if isinstance(given, list) else []
    shown = kind_of(wrong[0] if wrong else given)
    return BadRequestError(f"{where} is or contains {shown}; it must be text, a number, true, false or null")


def _too_long(where: str, given: str, most: int) -> BadRequestError:
    return BadRequestError(f"{where} has a text of {len(given)} characters, at most {most} are allowed", _TOO_LARGE)


def _unknown_key(key: str, allowed: Sequence[str]) -> str:
    near = difflib.get_close_matches(key, allowed, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"the unknown key {key[:_SHOWN]!r}; {hint}allowed: {', '.join(allowed) or 'nothing'}"


def _instances() -> str:
    return f'{{"instances": [{_EXAMPLE}]}}'
