"""Evaluation queries: the users, the times, the histories before them and the target items."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.dataset.queries import QueriesWithTargets, Targets
from shortlist.dataset.timeline import Timeline
from shortlist.features.availability import Availability


@dataclass(frozen=True, kw_only=True)
class QueryRows(QueriesWithTargets):
    """All queries, before some are drawn; the context of a query is that of its sample."""

    sample: NDArray[np.int64]
    """The sample whose context is that of the query; -1 where there is none."""
    unknowable: int = 0
    """Targets that are left out since their items were not available, also those of users without another target."""
    positives: int = 0
    """Distinct positives of all users in this part, whether they are targets or not."""
    repeats: int = 0
    """How many of them are in the history of their user already."""

    def take(self, at: NDArray[np.int64]) -> Self:
        return replace(super().take(at), sample=self.sample[at])

    @classmethod
    def join(cls, pieces: Sequence["QueryRows"]) -> "QueryRows":
        lengths = [np.diff(piece.target_offsets) for piece in pieces]
        return cls(
            user=np.concatenate([piece.user for piece in pieces]),
            start=np.concatenate([piece.start for piece in pieces]),
            end=np.concatenate([piece.end for piece in pieces]),
            time=np.concatenate([piece.time for piece in pieces]),
            sample=np.concatenate([piece.sample for piece in pieces]),
            target_offsets=np.append(0, np.cumsum(np.concatenate(lengths))),
            target_items=np.concatenate([piece.target_items for piece in pieces]),
            labels={name: Targets.join([piece.labels[name] for piece in pieces]) for name in pieces[0].labels},
            unknowable=sum(piece.unknowable for piece in pieces),
            positives=sum(piece.positives for piece in pieces),
            repeats=sum(piece.repeats for piece in pieces),
        )


def build_queries(
    line: Timeline,
    item: NDArray[np.int32],
    target: NDArray[np.bool_],
    *,
    labelled: Mapping[str, NDArray[np.bool_]],
    query_time: int | None,
    gap: int,
    mask_seen: bool,
    available: Availability,
    first_sample: int,
    first_history: int,
) -> QueryRows:
    """One query per user who has an event in `target`, a mask over the events of `line`; the targets of a label are the
    items of these users that have an event in `labelled`, another mask.

    All are asked at `query_time`; what happened in the gap before it is not known yet, so the history ends `gap`
    seconds earlier. Without `query_time` each user is asked at the time of their first target.
    With `mask_seen` items of the history are no targets. Items that are not available at the time of the query never
    are: no list could hold them. Both hold for the targets of labels too. A query without targets is left out.
    """
    num_item_rows = len(available.from_N)
    users = len(line.bounds) - 1
    at = np.flatnonzero(target)
    who = (line.user[at] - line.first_user).astype(np.int64)
    end_U = np.zeros(users, np.int64)
    time_U = np.full(users, query_time or 0, np.int64)
    sample_U = np.full(users, -1, np.int64)
    if query_time is None:
        _, first = np.unique(who, return_index=True)
        who_first, at_first = who[first], at[first]
        end_U[who_first], time_U[who_first] = line.end[at_first], line.time[at_first]
        sample_U[who_first] = at_first + first_sample
    else:
        end_U[who] = line.history_before(query_time - gap)[who]
    key = np.unique(who * num_item_rows + item[at])
    positives, again = len(key), _seen(line, item, end_U, key, num_item_rows)
    if mask_seen:
        key = key[~again]
    known = available.among(key % num_item_rows, time_U[key // num_item_rows])
    key, unknowable = key[known], int(np.count_nonzero(~known))
    user, count = np.unique(key // num_item_rows, return_counts=True)

    def targets(mask: NDArray[np.bool_]) -> Targets:
        at = np.flatnonzero(mask)
        who = (line.user[at] - line.first_user).astype(np.int64)
        asked = np.isin(who, user)
        key = np.unique((who * num_item_rows + item[at])[asked])
        if mask_seen:
            key = key[~_seen(line, item, end_U, key, num_item_rows)]
        key = key[available.among(key % num_item_rows, time_U[key // num_item_rows])]
        place = np.searchsorted(user, key // num_item_rows)
        count = np.bincount(place, minlength=len(user))
        return Targets(np.append(0, np.cumsum(count)), (key % num_item_rows).astype(np.int32))

    return QueryRows(
        user=user + line.first_user,
        start=line.history_bounds[user] + first_history,
        end=end_U[user] + first_history,
        time=time_U[user],
        sample=sample_U[user],
        target_offsets=np.append(0, np.cumsum(count)),
        target_items=(key % num_item_rows).astype(np.int32),
        labels={name: targets(mask) for name, mask in labelled.items()},
        unknowable=unknowable,
        positives=positives,
        repeats=int(again.sum()),
    )


def _seen(
    line: Timeline, item: NDArray[np.int32], end_U: NDArray[np.int64], key: NDArray[np.int64], num_item_rows: int
) -> NDArray[np.bool_]:
    """Which of these (user, item) keys are in the history of the user before the query."""
    before = line.in_history & (line.history[:-1] < np.repeat(end_U, np.diff(line.bounds)))
    at = np.flatnonzero(before)
    had = (line.user[at] - line.first_user).astype(np.int64) * num_item_rows + item[at]
    again = pl.Series(had).filter(pl.Series(had).is_in(pl.Series(key).implode()))
    return np.isin(key, again.unique().to_numpy())
