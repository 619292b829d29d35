"""The same queries to what is live and to what shall be.

Nobody's data are needed: the live release is asked for what is popular, and histories are made of what it answers.
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
class Asked:
    """A query and the live release's answer."""

    query: dict[str, Any]
    answer: Mapping[str, Any]


@dataclass(frozen=True)
class Comparison:
    """What the shadow saw."""

    num_queries: int
    overlap: float
    """Mean share of the live list's items that the new list has too."""
    unknown_items: int
    """Items of the histories that the new release does not know."""
    num_degraded: int
    live_ms: float
    """Median time of an answer, as the transformer measured it."""
    new_ms: float

    def __str__(self) -> str:
        return (
            f"{self.num_queries} queries: {self.overlap:.0%} of the live lists' items are in the new lists, "
            f"{self.unknown_items} items unknown, {self.num_degraded} unranked, "
            f"median {self.live_ms:.1f} ms live, {self.new_ms:.1f} ms new"
        )


def smoke(ask: Ask, release: str) -> None:
    """What is popular, and a ranked list. Raises RefusedError when an answer is empty, unranked or of another release.

    The first answers of a process are slow; it may have a few before it is judged.
    """
    popular = _answered(ask, {})
    if not popular["items"]:
        raise RefusedError(f"release {release} has nothing to answer to somebody unknown")
    query = {"history": [popular["items"][0]["item_id"]]}
    for _ in range(_WARM_UPS):
        answer = _answered(ask, query)
        if answer["release"] != release:
            raise RefusedError(f"release {answer['release']} answered, not {release}")
        if not answer["items"]:
            raise RefusedError(f"release {release} answers with an empty list to {query}")
        if not answer["degraded"]:
            return
    raise RefusedError(f"release {release} answers unranked: {answer['degraded']}")


def queries(live: Ask, count: int, seed: int = 0, moment: int | None = None) -> list[Asked]:
    """Queries with histories that the live release knows, and its answers, at one moment (by default now)."""
    rng = np.random.default_rng(seed)
    moment = int(time.time()) if moment is None else moment
    pool = _ids(_answered(live, {"time": moment}))
    asked: list[Asked] = []
    while pool and len(asked) < count:
        size = min(int(rng.integers(1, _LONGEST_HISTORY + 1)), len(pool))
        history = [pool[at] for at in rng.choice(len(pool), size, replace=False).tolist()]
        query = {"history": history, "time": moment}
        answer = _answered(live, query)
        asked.append(Asked(query, answer))
        pool = list(dict.fromkeys(pool + _ids(answer)))
    return asked


def compare(asked: Sequence[Asked], new: Ask) -> Comparison:
    """Ask the new release the same. Raises RefusedError when it refuses a query."""
    answers = [_answered(new, one.query) for one in asked]
    shares = [
        # A release of another version may write the same id as a number or as text.
        len(set(map(str, _ids(one.answer))) & set(map(str, _ids(answer)))) / len(_ids(one.answer))
        for one, answer in zip(asked, answers, strict=True)
        if _ids(one.answer)
    ]
    return Comparison(
        num_queries=len(asked),
        overlap=statistics.fmean(shares) if shares else 1.0,
        unknown_items=sum(answer["unknown_items"] for answer in answers),
        num_degraded=sum(answer["degraded"] is not False for answer in answers),
        live_ms=statistics.median([one.answer["timings_ms"]["total"] for one in asked]) if asked else 0.0,
        new_ms=statistics.median([answer["timings_ms"]["total"] for answer in answers]) if asked else 0.0,
    )


def judge(found: Comparison, min_overlap: float) -> None:
    """Raises RefusedError when the new release must not replace the live one."""
    if found.overlap < min_overlap:
        raise RefusedError(
            f"only {found.overlap:.0%} of the live lists' items are in the new lists, {min_overlap:.0%} are asked for; "
            "if the new release is meant to be that different, lower --min-overlap"
        )
    if found.num_degraded > _DEGRADED_SHARE * found.num_queries:
        raise RefusedError(f"{found.num_degraded} of {found.num_queries} answers of the new release came unranked")


def _answered(ask: Ask, query: dict[str, Any]) -> Mapping[str, Any]:
    try:
        return ask(query)
    except ClusterError as error:
        raise RefusedError(f"{error} (asked: {query})") from error


def _ids(answer: Mapping[str, Any]) -> list[Any]:
    return [item["item_id"] for item in answer["items"]]
