"""Proof that nothing which feeds a sample or a query is of its time or later.

A prepared folder is checked as it lies on disk, over all rows, in blocks: it does not matter who wrote it or how. What
follows from the checks: a history is in time order, and the event before a pointer `end` is before the sample's time,
so all events in `[start, end)` are. Data without order has the parts for times, 0 train, 1 validation, 2 test: what
trains there reads its user's whole train history, and the batches leave the sample's own item out of it.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.dataset.available import declare, has_times
from shortlist.dataset.columns import blocks, load
from shortlist.dataset.popular import HALF_LIVES
from shortlist.dataset.prepared import EvaluationQueries, Prepared, Samples
from shortlist.dataset.split import TEST, TRAIN, VALID
from shortlist.features import TableSchema
from shortlist.features.availability import ALWAYS, FOREVER, Availability
from shortlist.features.recency import time_decayed_counts
from shortlist.recipe import Categorical, Recipe, TemporalSplit
from shortlist.retrieval.batches import RetrievalBatches
from shortlist.retrieval.negatives import drawable

_BLOCK = 1 << 21
_SCREENED = 10_000
"""Items that tell which half-life a count was made by."""
_TOLERANCE = 2e-3
"""Of the mean and deviation of standardised float32 numbers."""


class LeakageError(ValueError):
    """A sample that could see its own future; the message names it."""


@dataclass(frozen=True)
class LeakageProof:
    """How much was checked."""

    samples: int
    queries: int
    history_events: int
    train_samples: int
    windows: int
    items: int
    """Whose availability was found again from the events and the items table."""
    statistics: int
    """Vocabularies, means and counts that were taken again from the train samples."""

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


def prove(folder: Path, recipe: Recipe, items: pl.LazyFrame) -> LeakageProof:
    """Check all of a prepared folder; `items` is the clean table, which may say when items are available.

    Raises LeakageError for the first sample or statistic that knows too much.
    """
    prepared = Prepared.open(folder)
    _prove_histories(prepared)
    available = prove_availability(prepared, recipe, items)
    horizon = _horizons(prepared, recipe)
    samples, train = prepared.samples, 0
    for block in blocks(len(samples), _BLOCK):
        user, time = samples.user[block], samples.time[block]
        trains = samples.part[block] == TRAIN
        before = time if recipe.interactions.ordered else time + trains
        _prove_pointers(prepared, "sample", block.start, user, samples.start[block], samples.end[block], before)
        late = _first(trains & (time >= horizon[user]))
        if late is not None:
            raise LeakageError(
                f"sample {block.start + late} trains on an event at time {time[late]}, but its user is judged by "
                f"events from {horizon[user[late]]} on"
            )
        train += int(trains.sum())
    for name, part, asked in (("valid", VALID, prepared.valid), ("test", TEST, prepared.test)):
        _prove_pointers(prepared, f"{name} query", 0, asked.user, asked.start, asked.end, asked.time)
        _prove_targets(samples, name, part, asked, available)
    return LeakageProof(
        samples=len(samples),
        queries=len(prepared.valid) + len(prepared.test),
        history_events=len(prepared.history_times),
        train_samples=train,
        windows=prove_windows(prepared, recipe),
        items=prove_negatives(prepared, recipe, available),
        statistics=_prove_statistics(prepared, folder / "features", recipe),
    )


def prove_windows(prepared: Prepared, recipe: Recipe) -> int:
    """With `positions: every`, each train positive is in one window and reads its own history alone there.

    The encoders are causal, so that what stands behind a prefix of the window never reaches the example.
    """
    if recipe.retrieval.positions != "every":
        return 0
    batches = RetrievalBatches(prepared, recipe)
    windows, samples = batches.windows, prepared.samples
    assert windows is not None
    length = np.diff(windows.first)
    if windows.first[0] != 0 or windows.first[-1] != len(batches.examples) or (length < 1).any():
        raise LeakageError("the windows do not hold each train positive once")
    width = prepared.store.schema.history_length
    for block in blocks(len(batches.examples), _BLOCK):
        at = batches.examples[block]
        window = np.searchsorted(windows.first, np.arange(block.start, block.stop), side="right") - 1
        start, end = windows.start[window], samples.end[at]
        bad = _first((start < samples.start[at]) | (start > end) | (end - start > width) | (end > windows.end[window]))
        if bad is not None:
            raise LeakageError(f"sample {at[bad]} is in a window that is not of its history")
    last = batches.examples[windows.first[1:] - 1]
    bad = _first(windows.end > samples.end[last])
    if bad is not None:
        raise LeakageError(f"window {bad} holds events behind the history of its last example, sample {last[bad]}")
    return len(windows)


def prove_availability(prepared: Prepared, recipe: Recipe, items: pl.LazyFrame) -> Availability:
    """When each item is available, taken again from the samples, which hold every event, and the items table."""
    store, samples = prepared.store, prepared.samples
    found = Availability.always(store.schema.num_item_rows)
    if has_times(recipe):
        first_N = np.full(store.schema.num_item_rows, FOREVER)
        for block in blocks(len(samples), _BLOCK):
            np.minimum.at(first_N, samples.item[block], samples.time[block])
        found = Availability(np.where(first_N == FOREVER, ALWAYS, first_N), np.full(len(first_N), FOREVER))
        declare(items, store.items.rows(items.select("item_id").collect()["item_id"].to_numpy()), found)
    for name, told, again in (
        ("from", store.available.from_N, found.from_N),
        ("until", store.available.until_N, found.until_N),
    ):
        bad = _first(told[1:] != again[1:])
        if bad is not None:
            raise LeakageError(
                f"item row {bad + 1} is marked as available {name} {told[bad + 1]}, the events and the items say "
                f"{again[bad + 1]}"
            )
    return found


def prove_negatives(prepared: Prepared, recipe: Recipe, available: Availability) -> int:
    """What is drawn as a negative was available while its examples were made; the number of items."""
    for parts in ((TRAIN,), (TRAIN, VALID))[: 2 if recipe.retrieval.refit.epochs else 1]:
        examples = prepared.samples.positives(parts)
        time = prepared.samples.time[examples]
        bad = _first(drawable(prepared, examples) & ~available.within(int(time.min()), int(time.max())))
        if bad is not None:
            raise LeakageError(
                f"item row {bad} may be drawn as a negative, but is available from {available.from_N[bad]} until "
                f"{available.until_N[bad]}, and the examples are of {time.min()} to {time.max()}"
            )
    return len(available.from_N) - 1


def _prove_histories(prepared: Prepared) -> None:
    times, offsets = prepared.history_times, prepared.store.history_offsets
    if offsets[0] != 0 or (np.diff(offsets) < 0).any() or offsets[-1] != len(times):
        raise LeakageError("history/offsets.npy does not cut history_times.npy into the histories of the users")
    if len(prepared.store.history_items) != len(times):
        raise LeakageError("history/items.npy and history_times.npy have different lengths")
    for block in blocks(len(times), _BLOCK):
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
    for block in blocks(len(samples), _BLOCK):
        at = np.flatnonzero(samples.part[block] >= VALID)
        np.minimum.at(horizon, samples.user[block][at], samples.time[block][at])
    for asked in (prepared.valid, prepared.test):
        np.minimum.at(horizon, asked.user, asked.time)
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
    bad = _first((start < own_start) | (start > end) | (end > own_end))
    if bad is not None:
        raise LeakageError(
            f"{what} {first + bad}: its history is events {start[bad]} to {end[bad]}, those of its user "
            f"are {own_start[bad]} to {own_end[bad]}"
        )
    if len(times) == 0:
        return
    bad = _first((end > start) & (times[np.maximum(end, 1) - 1] >= time))
    if bad is not None:
        raise LeakageError(
            f"{what} {first + bad} is at time {time[bad]}, the last event of its history at {times[end[bad] - 1]}"
        )


def _prove_targets(samples: Samples, name: str, part: int, asked: EvaluationQueries, available: Availability) -> None:
    """What answers a query is a positive of its own part, so that it is none of the train samples, and was there."""
    at = np.concatenate(
        [
            np.flatnonzero((samples.part[block] == part) & samples.label[block]) + block.start
            for block in blocks(len(samples), _BLOCK)
        ]
    )
    width = int(asked.target_items.max(initial=0)) + 1
    item, user = samples.item[at].astype(np.int64), samples.user[at].astype(np.int64)
    known = np.unique((user * width + item)[item < width])
    query = np.repeat(np.arange(len(asked)), np.diff(asked.target_offsets))
    bad = _first(~np.isin(asked.user[query] * width + asked.target_items, known))
    if bad is not None:
        raise LeakageError(
            f"{name} query {query[bad]}: item row {asked.target_items[bad]} is no {name} positive of its user"
        )
    bad = _first(~available.among(asked.target_items, asked.time[query]))
    if bad is not None:
        row, time = asked.target_items[bad], asked.time[query[bad]]
        raise LeakageError(
            f"{name} query {query[bad]} is at time {time}, but its target, item row {row}, is available from "
            f"{available.from_N[row]} until {available.until_N[row]}"
        )


def _prove_statistics(prepared: Prepared, features: Path, recipe: Recipe) -> int:
    """Take counts, words and means again from the train samples alone."""
    store, samples, spec = prepared.store, prepared.samples, recipe.features
    popularity = np.zeros(store.schema.num_item_rows, np.int64)
    active = np.zeros(store.schema.num_user_rows, bool)
    for block in blocks(len(samples), _BLOCK):
        at = np.flatnonzero((samples.part[block] == TRAIN) & samples.label[block])
        popularity += np.bincount(samples.item[block][at], minlength=len(popularity))
        active[samples.user[block][at]] = True
    bad = _first(store.popularity != popularity)
    if bad is not None:
        raise LeakageError(
            f"item row {bad} has popularity {store.popularity[bad]}, but {popularity[bad]} train positives"
        )
    _prove_popular(prepared, recipe, popularity)
    trained = {"items": popularity > 0, "users": active}
    for table, rows in trained.items():
        bad = _first(load(features / f"{table}/trained.npy") != rows)
        if bad is not None:
            raise LeakageError(
                f"{table} row {bad} is marked as trained = {not rows[bad]}, the train samples say otherwise"
            )
    proven = 4
    for kind, words in (("item", spec.item.categorical), ("user", spec.user.categorical)):
        schema: TableSchema = getattr(store.schema, kind)
        seen = trained[f"{kind}s"]
        for field, word in zip(schema.categorical, words, strict=True):
            rows = load(features / f"{kind}s/{field.name}.npy")
            _prove_words(f"{kind}.{field.name}", np.bincount(rows[seen].ravel(), minlength=field.num_rows), word)
        _prove_numbers(kind, schema, iter([load(features / f"{kind}s/numeric.npy")[seen]]))
        proven += len(schema.categorical) + len(schema.numeric)
    schema = store.schema.context
    for field, word in zip(schema.categorical, spec.context.categorical, strict=True):
        rows = samples.context.categorical[f"context.{field.name}"]
        count = sum(
            np.bincount(rows[block][samples.part[block] == TRAIN].ravel(), minlength=field.num_rows)
            for block in blocks(len(samples), _BLOCK)
        )
        _prove_words(f"context.{field.name}", np.asarray(count), word)
    if schema.numeric:
        numbers = samples.context.numeric_EF
        _prove_numbers(
            "context", schema, (numbers[block][samples.part[block] == TRAIN] for block in blocks(len(samples), _BLOCK))
        )
    return proven + len(schema.categorical) + len(schema.numeric)


def _prove_popular(prepared: Prepared, recipe: Recipe, popularity: NDArray[np.int64]) -> None:
    """Its shares are those of a count, by one of the half-lives, that ends with the validation."""
    told_N, counts_N = prepared.store.popular, popularity.astype(np.float64)
    if isinstance(recipe.split, TemporalSplit):
        half_lives = [share * recipe.split.valid for share in HALF_LIVES]
        # A few items tell which of the half-lives it is; by that one all are counted.
        few = max(len(told_N) // _SCREENED, 1)
        screened_HN = _count_known(prepared, half_lives, every=few)[:, ::few]
        differs_HN = ~np.isclose(_shares(told_N[::few]), _shares(screened_HN), rtol=_TOLERANCE, atol=1e-9)
        nearest = half_lives[int(np.argmin(differs_HN.sum(axis=1)))]
        counts_N = _count_known(prepared, [nearest], every=1)[0]
    told_N, counts_N = _shares(told_N), _shares(counts_N)
    bad = _first(~np.isclose(told_N, counts_N, rtol=_TOLERANCE, atol=1e-9))
    if bad is not None:
        raise LeakageError(
            f"item row {bad} has {told_N[bad]:.3g} of all that is popular, but {counts_N[bad]:.3g} of what "
            "the train and validation positives count"
        )


def _count_known(prepared: Prepared, half_lives: list[float], *, every: int) -> NDArray[np.float64]:
    """Train and validation positives of each item row that `every` divides, by each half-life [H, N].

    Shares are the same for whatever end; one that is near keeps old events from falling below all numbers.
    """
    samples, end = prepared.samples, int(prepared.valid.time.max())
    counts_HN = np.zeros((len(half_lives), prepared.store.schema.num_item_rows))
    for block in blocks(len(samples), _BLOCK):
        part, item = samples.part[block], samples.item[block]
        at = np.flatnonzero(((part == TRAIN) | (part == VALID)) & samples.label[block] & (item % every == 0))
        counts_HN += time_decayed_counts(item[at], samples.time[block][at], end, half_lives, counts_HN.shape[1])
    return counts_HN


def _shares(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Of the sum of each row; nothing of nothing is nothing."""
    total = counts.sum(axis=-1, keepdims=True, dtype=np.float64)
    shares: NDArray[np.float64] = np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)
    return shares


def _prove_words(name: str, count: NDArray[np.int64], spec: Categorical) -> None:
    bad = _first(count[1:] < max(spec.min_count, 1))
    if bad is not None:
        raise LeakageError(
            f"vocabulary {name}: row {bad + 1} occurs {count[bad + 1]} times in training, "
            f"{max(spec.min_count, 1)} are needed to be known"
        )


def _prove_numbers(kind: str, schema: TableSchema, blocks: Iterator[NDArray[np.float32]]) -> None:
    """Numbers that were standardised by the train rows have mean 0 and deviation 1 (or 0) there."""
    count = np.zeros(len(schema.numeric))
    total, squares = np.zeros_like(count), np.zeros_like(count)
    for block in blocks:
        values = np.where(block[:, 1::2] == 0, block[:, 0::2], 0).astype(np.float64)
        count += (block[:, 1::2] == 0).sum(axis=0)
        total += values.sum(axis=0)
        squares += (values**2).sum(axis=0)
    for i, field in enumerate(schema.numeric):
        if count[i] == 0:
            mean, std, fits = 0.0, 0.0, field.mean == 0 and field.std == 1
        else:
            mean = total[i] / count[i]
            std = float(np.sqrt(max(squares[i] / count[i] - mean**2, 0)))
            fits = abs(mean) < _TOLERANCE and (abs(std - 1) < _TOLERANCE or std < _TOLERANCE)
        if not fits:
            raise LeakageError(
                f"{kind}.{field.name}: mean {field.mean} and deviation {field.std} are not those of the train rows; "
                f"standardised, these have mean {mean:.4g} and deviation {std:.4g}"
            )


def _first(bad: NDArray[np.bool_]) -> int | None:
    return int(np.argmax(bad)) if bad.any() else None
