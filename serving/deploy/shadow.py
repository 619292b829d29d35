"""Compares the live and the new release on the same queries.

No user data is needed: the live release gives popular items, and histories are built from its recommendations.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shortlist.serving.deploy.errors import ClusterError, RefusedError

Ask = Callable[[Mapping[str, Any]], Mapping[str, Any]]

_LONGEST_HISTORY = 8
_WARM_UPS = 20
_DEGRADED_SHARE = 0.1


@dataclass(frozen=True)
class LiveAnswer:
    """A query and the answer of the live release."""

    query: dict[str, Any]
    answer: Mapping[str, Any]


@dataclass(frozen=True)
class Comparison:
    """The result of the comparison."""

    num_queries: int
    overlap: float
    """The mean share of the live recommendations that the new release recommends as well."""
    unknown_items: int
    """The number of history items that the new release does not know."""
    num_degraded: int
    live_ms: float
    """The median latency, as measured by the transformer."""
    new_ms: float

    def __str__(self) -> str:
        return (
            f"{self.num_queries} queries: {self.overlap:.0%} of the live lists' items are in the new lists, "
            f"{self.unknown_items} items unknown, {self.num_degraded} unranked, "
            f"median {self.live_ms:.1f} ms live, {self.new_ms:.1f} ms new"
        )


def smoke(ask: Ask, release: str) -> None:
    """Query the cold-start fallback and a ranked list.

    Raises RefusedError when an answer is empty, unranked or from another release. The first requests of a process are
    slow, so that a few of them may be unranked.
    """
    popular = _answered(ask, {})
    if not popular["items"]:
        raise RefusedError(f"release {release} has no recommendations for an unknown user")
    query = {"history": [popular["items"][0]["item_id"]]}
    for _ in range(_WARM_UPS):
        answer = _answered(ask, query)
        if answer["release"] != release:
            raise RefusedError(f"release {answer['release']} answered, not {release}")
        if not answer["items"]:
            raise RefusedError(f"release {release} returns an empty list for {query}")
        if not answer["degraded"]:
            return
    raise RefusedError(f"release {release} returns unranked lists: {answer['degraded']}")


def queries(live: Ask, count: int, seed: int = 0, moment: int | None = None) -> list[LiveAnswer]:
    """Queries with histories that the live release knows, and its answers, at one time (by default now)."""
    rng = np.random.default_rng(seed)
    moment = int(time.time()) if moment is None else moment
    pool = _ids(_answered(live, {"time": moment}))
    live_answers: list[LiveAnswer] = []
    while pool and len(live_answers) < count:
        size = min(int(rng.integers(1, _LONGEST_HISTORY + 1)), len(pool))
        history = [pool[at] for at in rng.choice(len(pool), size, replace=False).tolist()]
        query = {"history": history, "time": moment}
        answer = _answered(live, query)
        live_answers.append(LiveAnswer(query, answer))
        pool = list(dict.fromkeys(pool + _ids(answer)))
    return live_answers


def compare(live_answers: Sequence[LiveAnswer], new: Ask) -> Comparison:
    """Send the same queries to the new release. Raises RefusedError when it refuses a query."""
    answers = [_answered(new, one.query) for one in live_answers]
    shares = [
        # A release of another version may write the same id as a number or as text.
        len(set(map(str, _ids(one.answer))) & set(map(str, _ids(answer)))) / len(_ids(one.answer))
        for one, answer in zip(live_answers, answers, strict=True)
        if _ids(one.answer)
    ]
    return Comparison(
        num_queries=len(live_answers),
        overlap=statistics.fmean(shares) if shares else 1.0,
        unknown_items=sum(answer["unknown_items"] for answer in answers),
        num_degraded=sum(answer["degraded"] is not False for answer in answers),
        live_ms=statistics.median([one.answer["timings_ms"]["total"] for one in live_answers]) if live_answers else 0.0,
        new_ms=statistics.median([answer["timings_ms"]["total"] for answer in answers]) if answers else 0.0,
    )


def check_comparison(found: Comparison, min_overlap: float) -> None:
    """Raises RefusedError when the new release must not replace the live one."""
    if found.overlap < min_overlap:
        raise RefusedError(
            f"only {found.overlap:.0%} of the live lists' items are in the new lists, {min_overlap:.0%} are required; "
            "if the new release is meant to be this different, lower --min-overlap"
        )
    if found.num_degraded > _DEGRADED_SHARE * found.num_queries:
        raise RefusedError(f"{found.num_degraded} of {found.num_queries} lists of the new release are unranked")


def _answered(ask: Ask, query: dict[str, Any]) -> Mapping[str, Any]:
    try:
        return ask(query)
    except ClusterError as error:
        raise RefusedError(f"{error} (query: {query})") from error


def _ids(answer: Mapping[str, Any]) -> list[Any]:
    return [item["item_id"] for item in answer["items"]]
