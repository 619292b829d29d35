"""Reads queries from requests and validates them with the types of `request_schema`."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from pydantic import TypeAdapter, ValidationError

from shortlist.answer.refusal import BadRequestError, Refuser
from shortlist.answer.request_schema import MAX_INSTANCES, Columns, Weights, request_types
from shortlist.features import FeatureSchema
from shortlist.recipe import Serving
from shortlist.recipe.fields import POSITIVE

_BOM = b"\xef\xbb\xbf"
_TOO_LARGE = 413

Id = str | int


@dataclass(frozen=True)
class Query:
    """A query for one list."""

    k: int
    """Number of items."""
    user_id: Id | None = None
    history: list[Id] | None = None
    """Item ids in time order; None uses the stored history of the user."""
    user: dict[str, Any] = field(default_factory=dict)
    """Raw user columns by name, which replace the stored values, for example of a new user."""
    context: dict[str, Any] = field(default_factory=dict)
    """Raw context columns by name; a missing column is unknown."""
    exclude: Sequence[Id] = ()
    """Item ids to leave out."""
    time: int | None = None
    """Time of the query in seconds since the epoch; None is now."""
    history_times: list[int] | None = None
    """The time of each event of `history`, seconds since the epoch; None if they are not known."""
    item_id: Id | None = None
    """The item for which similar items are requested."""
    rules: dict[str, Any] = field(default_factory=dict)
    """The rules as the client wrote them, without null values."""
    sources: frozenset[str] | None = None
    """Names of the candidate sources to use; None for all."""
    objective: dict[str, float] | None = None
    """The weights of the objectives; None for those of the recipe."""
    trace: bool = False
    """Whether the answer reports what each stage did."""
    similar_to_last: bool = False
    """Whether similar items to the newest one of the history are requested."""
    page: int | None = None
    """The number in the request of the query that this is a row of; None for a list of its own."""
    name: str | None = None
    """The name of the row."""
    place: str = field(default="", compare=False)
    """Where it is in the request, for messages."""


class QueryReader:
    """Reads requests for one release, from JSON text or from decoded values."""

    def __init__(self, limits: Serving, schema: FeatureSchema, objectives: Sequence[str] = (POSITIVE,)) -> None:
        self._default_k = min(limits.default_k, limits.max_k)
        user, context = Columns(schema.user), Columns(schema.context)
        self.request_type, self.query_type = request_types(limits, user, context, Weights(objectives))
        self._refuser = Refuser(limits, user.names, context.names, objectives)

    def request(self, body: bytes | Any) -> list[Query]:
        """The queries of `{"instances": [...]}`, one for each row of a page. Raises BadRequestError."""
        if isinstance(body, bytes) and body.startswith(_BOM):
            body = body.removeprefix(_BOM)
        instances: list[dict[str, Any]] = self._read(self.request_type, body, "")["instances"]
        if isinstance(body, bytes):
            _refuse_repeated_keys(body, 1, instances, "the body")
        return self._queries(instances)

    def texts(self, texts: Sequence[Any]) -> list[Query]:
        """The queries of JSON texts, one object each, as `request` returns them. Raises BadRequestError."""
        if not texts:
            raise BadRequestError('instances is empty; send queries as JSON text, like {"user_id": 7, "k": 10}')
        if len(texts) > MAX_INSTANCES:
            message = f"instances has {len(texts)} queries, at most {MAX_INSTANCES} are allowed"
            raise BadRequestError(message, _TOO_LARGE)
        return self._queries([self._text(text, f"instances[{i}]") for i, text in enumerate(texts)])

    def query(self, given: Any, where: str) -> Query:
        """One decoded query without rows; `where` names it in the message of a BadRequestError."""
        read = self._read(self.query_type, given, where)
        if read.get("rows") is not None:
            raise BadRequestError(f"{where}.rows: a page cannot be asked for here; leave it out")
        return self._query(read, where)

    def _queries(self, instances: Sequence[Mapping[str, Any]]) -> list[Query]:
        found: list[Query] = []
        for i, one in enumerate(instances):
            where, rows = f"instances[{i}]", one.get("rows")
            if rows is None:
                found.append(self._query(one, where))
            else:
                found += [self._row(one, row, i, f"{where}.rows[{at}]") for at, row in enumerate(rows)]
        if len(found) > MAX_INSTANCES:
            message = f"instances has {len(found)} queries and rows, at most {MAX_INSTANCES} are allowed together"
            raise BadRequestError(message, _TOO_LARGE)
        return found

    def _row(self, of_page: Mapping[str, Any], row: Mapping[str, Any], page: int, where: str) -> Query:
        own = {name: value for name, value in row.items() if value is not None}
        if own.get("item_id") is not None:
            own.setdefault("similar_to_last", None)
        elif own.get("similar_to_last"):
            own.setdefault("item_id", None)
        exclude = [*(of_page.get("exclude") or ()), *own.get("exclude", ())]
        query = self._query({**of_page, **own, "exclude": exclude}, where)
        return replace(query, page=page, name=own.get("name"))

    def _text(self, text: Any, where: str) -> dict[str, Any]:
        if not isinstance(text, bytes | str):
            raise BadRequestError(f"{where} is not text; send the JSON text of an object")
        try:
            body = text.encode() if isinstance(text, str) else text
        except UnicodeEncodeError as error:
            raise BadRequestError(f"{where} is not JSON: {error.reason}") from None
        given: dict[str, Any] = self._read(self.query_type, body, where)
        _refuse_repeated_keys(body, 0, [given], where)
        return given

    def _read(self, kind: TypeAdapter[Any], given: Any, where: str) -> Any:
        try:
            return kind.validate_json(given) if isinstance(given, bytes) else kind.validate_python(given)
        except ValidationError as error:
            raise self._refuser.refusal(error, where) from None

    def _query(self, given: Mapping[str, Any], where: str) -> Query:
        time, objective = given.get("time"), given.get("objective")
        if given.get("item_id") is not None and given.get("similar_to_last"):
            raise BadRequestError(f"{where} has item_id and similar_to_last; send one of them")
        if objective is not None and not any(objective.values()):
            raise self._refuser.no_weight(where)
        times = given.get("history_times")
        if times is not None:
            _check_times(given.get("history"), times, where)
        return Query(
            k=given.get("k") or self._default_k,
            user_id=given.get("user_id"),
            history=given.get("history"),
            history_times=None if times is None else [int(one) for one in times],
            user=given.get("user") or {},
            context=given.get("context") or {},
            exclude=given.get("exclude") or (),
            time=None if time is None else int(time),
            item_id=given.get("item_id"),
            rules={name: value for name, value in (given.get("rules") or {}).items() if value is not None},
            sources=None if given.get("sources") is None else frozenset(given["sources"]),
            objective=objective,
            trace=bool(given.get("trace")),
            similar_to_last=bool(given.get("similar_to_last")),
            place=where,
        )


def _check_times(history: Sequence[Id] | None, times: Sequence[float], where: str) -> None:
    """Raises BadRequestError for times that are not those of the history."""
    if history is None:
        raise BadRequestError(f"{where} has history_times without history; send both, or leave history_times out")
    if len(times) != len(history):
        raise BadRequestError(
            f"{where}.history_times has {len(times)} times, {where}.history has {len(history)} ids; send one time for "
            "each id, or leave history_times out"
        )
    for i, (before, after) in enumerate(pairwise(times), 1):
        if after < before:
            raise BadRequestError(
                f"{where}.history_times[{i}] is {after:.16g}, before history_times[{i - 1}], {before:.16g}; send the "
                "events in time order, the latest last"
            )


def _refuse_repeated_keys(body: bytes, num_keys: int, queries: Sequence[Mapping[str, Any]], where: str) -> None:
    """Refuse duplicate keys, of which parsers silently keep the last. Raises BadRequestError.

    There is one colon per key, `num_keys` of them outside the queries. The body is parsed again only if there are more
    colons, which may also be part of a text.
    """
    if body.count(b":") == num_keys + sum(map(_num_keys, queries)):
        return

    def once(pairs: Iterable[tuple[str, Any]]) -> None:
        seen = set()
        for key, _ in pairs:
            if key in seen:
                raise BadRequestError(f"{where} has the key {key[:60]!r} twice in one object; send it once")
            seen.add(key)

    json.loads(body, object_pairs_hook=once)


def _num_keys(value: Any) -> int:
    """Number of keys of an object and of the objects in it."""
    if isinstance(value, dict):
        return len(value) + sum(_num_keys(one) for one in value.values() if isinstance(one, dict | list))
    return sum(map(_num_keys, value)) if isinstance(value, list) and value and isinstance(value[0], dict) else 0
