"""Counts, vocabularies, means and deviations are those of the train samples alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.dataset.columns import load
from shortlist.dataset.leakage.check import LeakageError, first_where, in_blocks
from shortlist.dataset.popularity import HALF_LIVES
from shortlist.dataset.prepared import Prepared
from shortlist.dataset.split import TRAIN, VALID
from shortlist.features import TableSchema
from shortlist.features.recency import time_decayed_counts
from shortlist.recipe import Categorical, Recipe, TemporalSplit

_SCREENED = 10_000
"""Items that tell which half-life a count was made by."""
_TOLERANCE = 2e-3
"""Of the mean and deviation of standardised float32 numbers."""


def prove_statistics(prepared: Prepared, features: Path, recipe: Recipe) -> int:
    """Take counts, words and means again from the train samples alone."""
    store, samples, spec = prepared.store, prepared.samples, recipe.features
    popularity = np.zeros(store.schema.num_item_rows, np.int64)
    active = np.zeros(store.schema.num_user_rows, bool)
    for block in in_blocks(len(samples)):
        at = np.flatnonzero((samples.part[block] == TRAIN) & samples.label[block])
        popularity += np.bincount(samples.item[block][at], minlength=len(popularity))
        active[samples.user[block][at]] = True
    bad = first_where(store.popularity != popularity)
    if bad is not None:
        raise LeakageError(
            f"item row {bad} has popularity {store.popularity[bad]}, but {popularity[bad]} train positives"
        )
    _prove_popularity(prepared, recipe, popularity)
    trained = {"items": popularity > 0, "users": active}
    for table, rows in trained.items():
        bad = first_where(load(features / f"{table}/trained.npy") != rows)
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
            _prove_vocabulary(f"{kind}.{field.name}", np.bincount(rows[seen].ravel(), minlength=field.num_rows), word)
        _prove_numbers(kind, schema, iter([load(features / f"{kind}s/numeric.npy")[seen]]))
        proven += len(schema.categorical) + len(schema.numeric)
    schema = store.schema.context
    for field, word in zip(schema.categorical, spec.context.categorical, strict=True):
        rows = samples.context.categorical[f"context.{field.name}"]
        count = sum(
            np.bincount(rows[block][samples.part[block] == TRAIN].ravel(), minlength=field.num_rows)
            for block in in_blocks(len(samples))
        )
        _prove_vocabulary(f"context.{field.name}", np.asarray(count), word)
    if schema.numeric:
        numbers = samples.context.numeric_EF
        _prove_numbers(
            "context", schema, (numbers[block][samples.part[block] == TRAIN] for block in in_blocks(len(samples)))
        )
    return proven + len(schema.categorical) + len(schema.numeric)


def _prove_popularity(prepared: Prepared, recipe: Recipe, popularity: NDArray[np.int64]) -> None:
    """Its shares are those of a count, by one of the half-lives, that ends with the validation."""
    stored_N, counts_N = prepared.store.popular, popularity.astype(np.float64)
    if isinstance(recipe.split, TemporalSplit):
        half_lives = [share * recipe.split.valid for share in HALF_LIVES]
        # A few items tell which of the half-lives it is; by that one all are counted.
        few = max(len(stored_N) // _SCREENED, 1)
        screened_HN = _recount(prepared, half_lives, every=few)[:, ::few]
        differs_HN = ~np.isclose(_shares(stored_N[::few]), _shares(screened_HN), rtol=_TOLERANCE, atol=1e-9)
        nearest = half_lives[int(np.argmin(differs_HN.sum(axis=1)))]
        counts_N = _recount(prepared, [nearest], every=1)[0]
    stored_N, counts_N = _shares(stored_N), _shares(counts_N)
    bad = first_where(~np.isclose(stored_N, counts_N, rtol=_TOLERANCE, atol=1e-9))
    if bad is not None:
        raise LeakageError(
            f"item row {bad} has {stored_N[bad]:.3g} of all that is popular, but {counts_N[bad]:.3g} of what "
            "the train and validation positives count"
        )


def _recount(prepared: Prepared, half_lives: list[float], *, every: int) -> NDArray[np.float64]:
    """Train and validation positives of each item row that `every` divides, by each half-life [H, N].

    Shares are the same for whatever end; one that is near keeps old events from falling below all numbers.
    """
    samples, end = prepared.samples, int(prepared.valid.time.max())
    counts_HN = np.zeros((len(half_lives), prepared.store.schema.num_item_rows))
    for block in in_blocks(len(samples)):
        part, item = samples.part[block], samples.item[block]
        at = np.flatnonzero(((part == TRAIN) | (part == VALID)) & samples.label[block] & (item % every == 0))
        counts_HN += time_decayed_counts(item[at], samples.time[block][at], end, half_lives, counts_HN.shape[1])
    return counts_HN


def _shares(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Of the sum of each row; nothing of nothing is nothing."""
    total = counts.sum(axis=-1, keepdims=True, dtype=np.float64)
    shares: NDArray[np.float64] = np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)
    return shares


def _prove_vocabulary(name: str, count: NDArray[np.int64], spec: Categorical) -> None:
    bad = first_where(count[1:] < max(spec.min_count, 1))
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
