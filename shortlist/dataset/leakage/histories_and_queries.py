"""Histories, samples and queries: what each of them points at is before its own time.

A history is in time order, and the event before a pointer `end` is before the sample's time, so all events in
`[start, end)` are. Data without order has the parts for times, 0 train, 1 validation, 2 test: what trains there reads
its user's whole train history, and the batches leave the sample's own item out of it.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.dataset.leakage.check import LeakageError, first_where, in_blocks
from shortlist.dataset.prepared import EvaluationQueries, Prepared, Samples
from shortlist.dataset.split import TEST, TRAIN, VALID
from shortlist.features.availability import Availability
from shortlist.recipe import Recipe, TemporalSplit
from shortlist.recipe.fields import POSITIVE


def prove_samples(prepared: Prepared, recipe: Recipe) -> int:
    """No sample reads its own time or later, and none that trains is as late as what judges; the number that train."""
    horizon = _horizons(prepared, recipe)
    samples, num_train = prepared.samples, 0
    for block in in_blocks(len(samples)):
        user, time = samples.user[block], samples.time[block]
        trains = samples.part[block] == TRAIN
        before = time if recipe.interactions.ordered else time + trains
        _prove_pointers(prepared, "sample", block.start, user, samples.start[block], samples.end[block], before)
        late = first_where(trains & (time >= horizon[user]))
        if late is not None:
            raise LeakageError(
                f"sample {block.start + late} trains on an event at time {time[late]}, but its user is judged by "
                f"events from {horizon[user[late]]} on"
            )
        num_train += int(trains.sum())
    return num_train


def prove_queries(prepared: Prepared, available: Availability) -> None:
    """No query reads its own time or later, and what answers it is a positive of its part that was available."""
    for name, part, queries in (("valid", VALID, prepared.valid), ("test", TEST, prepared.test)):
        _prove_pointers(prepared, f"{name} query", 0, queries.user, queries.start, queries.end, queries.time)
        for objective in (POSITIVE, *queries.labels):
            _prove_targets(prepared.samples, name, part, queries, objective, available)


def prove_histories(prepared: Prepared) -> None:
    times, offsets = prepared.history_times, prepared.store.history_offsets
    if offsets[0] != 0 or (np.diff(offsets) < 0).any() or offsets[-1] != len(times):
        raise LeakageError("history/offsets.npy does not cut history_times.npy into the histories of the users")
    if len(prepared.store.history_items) != len(times):
        raise LeakageError("history/items.npy and history_times.npy have different lengths")
    served = prepared.store.history_times
    if served is not None and not np.array_equal(served, times):
        raise LeakageError("features/history/times.npy differs from samples/history_times.npy")
    for block in in_blocks(len(times)):
        falls = np.flatnonzero(np.diff(times[block.start : block.stop + 1]) < 0) + block.start + 1
        # A fall is sound where another user begins.
        wrong = falls[offsets[np.searchsorted(offsets, falls)] != falls]
        if len(wrong):
            raise LeakageError(
                f"history event {wrong[0]} is before the one that precedes it: the history is out of order"
            )


def _horizons(prepared: Prepared, recipe: Recipe) -> NDArray[np.int64]:
    """From which time on each user row is judged; nothing that trains may be as late, [num_user_rows]."""
    horizon = np.full(prepared.store.schema.num_user_rows, np.iinfo(np.int64).max)
    samples = prepared.samples
    for block in in_blocks(len(samples)):
        at = np.flatnonzero(samples.part[block] >= VALID)
        np.minimum.at(horizon, samples.user[block][at], samples.time[block][at])
    for queries in (prepared.valid, prepared.test):
        np.minimum.at(horizon, queries.user, queries.time)
    if isinstance(recipe.split, TemporalSplit):
        horizon[:] = horizon.min()
    return horizon


def _prove_pointers(
    prepared: Prepared,
    what: str,
    first: int,
    user: NDArray[Any],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    time: NDArray[np.int64],
) -> None:
    times, offsets = prepared.history_times, prepared.store.history_offsets
    own_start, own_end = offsets[user], offsets[user.astype(np.int64) + 1]
    bad = first_where((start < own_start) | (start > end) | (end > own_end))
    if bad is not None:
        raise LeakageError(
            f"{what} {first + bad}: its history is events {start[bad]} to {end[bad]}, those of its user "
            f"are {own_start[bad]} to {own_end[bad]}"
        )
    if len(times) == 0:
        return
    bad = first_where((end > start) & (times[np.maximum(end, 1) - 1] >= time))
    if bad is not None:
        raise LeakageError(
            f"{what} {first + bad} is at time {time[bad]}, the last event of its history at {times[end[bad] - 1]}"
        )


def _prove_targets(
    samples: Samples, name: str, part: int, queries: EvaluationQueries, objective: str, available: Availability
) -> None:
    """What answers a query is a positive (or has the label) in its own part, so that it is none of the train samples,
    and was there."""
    label, targets = samples.label if objective == POSITIVE else samples.labels[objective], queries.targets(objective)
    at = np.concatenate(
        [
            np.flatnonzero((samples.part[block] == part) & label[block]) + block.start
            for block in in_blocks(len(samples))
        ]
    )
    width = int(targets.items.max(initial=0)) + 1
    item, user = samples.item[at].astype(np.int64), samples.user[at].astype(np.int64)
    known = np.unique((user * width + item)[item < width])
    query = np.repeat(np.arange(len(queries)), targets.counts)
    bad = first_where(~np.isin(queries.user[query] * width + targets.items, known))
    if bad is not None:
        raise LeakageError(
            f"{name} query {query[bad]}: item row {targets.items[bad]} is no {name} {objective} of its user"
        )
    bad = first_where(~available.among(targets.items, queries.time[query]))
    if bad is not None:
        row, time = targets.items[bad], queries.time[query[bad]]
        raise LeakageError(
            f"{name} query {query[bad]} is at time {time}, but its target, item row {row}, is available from "
            f"{available.from_N[row]} until {available.until_N[row]}"
        )
