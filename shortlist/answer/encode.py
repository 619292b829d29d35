"""Encodes queries as the arrays that the towers read, with the feature code of training.

Shapes: E queries, L history length, O objectives.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.answer.query import Id, Query
from shortlist.data.keys import exact_in_json
from shortlist.features import FeatureStore, Queries
from shortlist.features.queries import DAY
from shortlist.features.vocabulary import UNKNOWN
from shortlist.recipe import Recipe
from shortlist.recommend.objective import weights_of
from shortlist.recommend.rules import QueryRules

_NOTHING = np.zeros(0, np.int64)


@dataclass(frozen=True)
class EncodedQueries:
    """E queries as rows of the release."""

    user_E: NDArray[np.int64]
    """0 for an unknown user."""
    histories: list[NDArray[np.int64]]
    """Item rows of the history of each query, at most L: the one sent with the query, otherwise the stored one."""
    given: list[NDArray[np.int64]]
    """All item rows of the history sent with each query."""
    num_unknown: list[int]
    """Number of unknown items in each sent history; they are left out."""
    excluded: list[NDArray[np.int64]]
    """Item rows of `exclude`, 0 for an unknown id."""
    unknown_values: list[dict[str, list[Any]]]
    """Unknown categories of each query, by column; they are read as missing."""
    described: list[bool]
    """Whether the query has user columns."""
    time_E: NDArray[np.int64]
    """Time of each query, seconds since the epoch."""
    item_E: NDArray[np.int64]
    """Row of the item for which similar items are requested; 0 for none or an unknown item."""
    anchored: list[bool]
    """Whether the query names such an item."""
    rules: list[QueryRules | None]
    """The rules of each query, in addition to those of the recipe."""
    num_unknown_rules: list[int]
    """Number of unknown ids in the rules of each query."""
    inputs: Queries
    """The inputs of the query tower and the ranker."""


def encode(store: FeatureStore, queries: Sequence[Query]) -> EncodedQueries:
    """Encode E queries."""
    user_E = np.array([_user(store, query) for query in queries], np.int64)
    starts, ends = store.history_bounds(user_E)
    length = store.schema.history_length
    now = int(time.time())
    time_E = np.array([now if query.time is None else query.time for query in queries], np.int64)
    histories, times, given, num_unknown = [], [], [], []
    for query, start, end, at in zip(queries, starts.tolist(), ends.tolist(), time_E.tolist(), strict=True):
        rows, stored = _NOTHING, slice(max(start, end - length), end)
        if query.history is None:
            histories.append(np.asarray(store.history_items[stored], np.int64))
            times.append(_NOTHING if store.history_times is None else store.history_times[stored])
        else:
            rows = store.items.rows(query.history) if query.history else _NOTHING
            known = rows != UNKNOWN
            rows = rows[known]
            histories.append(rows[-length:])
            times.append(_times(query, known, at)[-length:])
        given.append(rows)
        num_unknown.append(len(query.history or ()) - len(rows))
    end_E = np.cumsum([len(rows) for rows in histories])
    start_E = np.concatenate([[0], end_E[:-1]])
    schema = store.schema.context
    names = [one.name for one in schema.categorical] + [one.name for one in schema.numeric]
    context = store.context({name: [q.context.get(name) for q in queries] for name in names}, time_E)
    inputs = store.queries(
        user_E,
        np.concatenate(histories),
        start_E,
        end_E,
        context,
        [q.user for q in queries],
        None if store.history_times is None else np.concatenate(times),
    )
    excluded = [store.items.rows(q.exclude) if q.exclude else _NOTHING for q in queries]
    unknown = [store.unknown_values(q.user, q.context) if q.user or q.context else {} for q in queries]
    items = [q.item_id for q in queries]
    named = [item is not None for item in items]
    item_E = np.zeros(len(queries), np.int64)
    if any(named):
        item_E[named] = store.items.rows([item for item in items if item is not None])
    for e, (query, history) in enumerate(zip(queries, histories, strict=True)):
        if query.similar_to_last and len(history):
            item_E[e] = history[-1]
    anchored = [q.item_id is not None or q.similar_to_last for q in queries]
    rules = [_rules(store, q.rules) if q.rules else None for q in queries]
    num_unknown_rules = [0 if one is None else _num_unknown(one) for one in rules]
    return EncodedQueries(
        user_E=user_E,
        histories=histories,
        given=given,
        num_unknown=num_unknown,
        excluded=excluded,
        unknown_values=unknown,
        described=[bool(q.user) for q in queries],
        time_E=time_E,
        item_E=item_E,
        anchored=anchored,
        rules=rules,
        num_unknown_rules=num_unknown_rules,
        inputs=inputs,
    )


def objectives_of(recipe: Recipe, queries: Sequence[Query]) -> NDArray[np.float32] | None:
    """The weights [E, O] of the queries, those of the recipe where a query has none; None for a recipe without
    labels."""
    if not recipe.interactions.labels:
        return None
    names, own = recipe.interactions.objectives, recipe.ranking.objective
    return np.stack([weights_of(own if q.objective is None else q.objective, names) for q in queries])


def seen_rows(store: FeatureStore, encoded: EncodedQueries) -> list[NDArray[np.int64]]:
    """All item rows that each user has seen, from the stored history and the one sent with the query."""
    return [
        np.concatenate([given, stored_history(store, user)]) if user else given
        for given, user in zip(encoded.given, encoded.user_E.tolist(), strict=True)
    ]


def stored_history(store: FeatureStore, user: int) -> NDArray[np.int64]:
    """All item rows of a user's stored history, in time order."""
    start, end = int(store.history_offsets[user]), int(store.history_offsets[user + 1])
    return np.asarray(store.history_items[start:end], np.int64)


def written(store: FeatureStore, ids: list[Any], query: Query) -> list[Id]:
    """Item ids as they are written in the answer to a query.

    Text ids stay text. Integers become strings of digits if JSON parsers would round them (2^53 and more), or if the
    query writes an integer id as a string.
    """
    if not store.items.integers:
        return ids
    in_text = isinstance(query.user_id, str) and store.users.integers
    named = chain(query.history or (), query.exclude, query.rules.get("pin", ()), query.rules.get("only", ()))
    in_text = in_text or isinstance(query.item_id, str) or str in set(map(type, named))
    return [str(one) if in_text else exact_in_json(one) for one in ids]


def _rules(store: FeatureStore, given: dict[str, Any]) -> QueryRules:
    """The rules of a query with item rows instead of ids; unknown pins are left out later."""
    return QueryRules(
        where=given.get("where"),
        only=store.items.rows(given["only"]) if "only" in given else None,
        boost=[(one["where"], float(one["by"])) for one in given.get("boost", ())],
        at_most=given.get("at_most"),
        diversity=given.get("diversity"),
        pin=store.items.rows(given["pin"]) if given.get("pin") else _NOTHING,
    )


def _times(query: Query, known: NDArray[np.bool_], at: int) -> NDArray[np.int64]:
    """The times of the `known` events of a history that was sent to a query at the time `at`. Where they were not sent,
    one event a day is assumed, the last one at the time of the query."""
    if query.history_times is not None:
        return np.array(query.history_times, np.int64)[known]
    return at - DAY * np.arange(np.count_nonzero(known) - 1, -1, -1, dtype=np.int64)


def _num_unknown(rules: QueryRules) -> int:
    only = _NOTHING if rules.only is None else rules.only
    return int(np.count_nonzero(rules.pin == UNKNOWN) + np.count_nonzero(only == UNKNOWN))


def _user(store: FeatureStore, query: Query) -> int:
    return UNKNOWN if query.user_id is None else int(store.users.rows([query.user_id])[0])
