"""The recommendations of the live release for the test queries of this run.

The live release has other rows, vocabularies and statistics than this run. Queries are therefore translated through
ids and raw values, and the recommendations are translated back to item rows of this run.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.dataset.prepared import EvaluationQueries, Prepared
from shortlist.evaluation.whole_path import WholePath
from shortlist.features import Context, FeatureStore
from shortlist.features.availability import Availability
from shortlist.features.vocabulary import Vocabulary
from shortlist.progress import Progress
from shortlist.recipe import load_released_recipe
from shortlist.recommend.query import QueryBatch
from shortlist.release.bundle import read_manifest

_AT_ONCE = 256


def live_recommendations(
    release: Path,
    prepared: Prepared,
    queries: EvaluationQueries,
    k: int,
    exclude: Sequence[NDArray[Any]],
    threads: int,
) -> NDArray[np.int64]:
    """The recommendations of the live release in our item rows, [Q, k]; 0 for items that this run does not know.

    `queries` and `exclude` are in our rows. The availability of items is taken from this run, so that both systems
    choose from the same items; for items that this run does not know, it is taken from the release. Items of a history
    that the release does not know are left out, as in serving. Raises ValueError when the release is broken or has
    another schema.
    """
    read_manifest(release)
    ours = prepared.store
    store = FeatureStore.open(release / "features")
    recipe = load_released_recipe(release / "recipe.yaml")
    ranking = release / "ranking"
    there_I = _rows_there(ours.items, store.items)
    path = WholePath.open(
        recipe,
        store,
        release / "retrieval",
        release / "index",
        ranking if ranking.is_dir() else None,
        threads=threads,
        available=_available_there(ours.available, store.available, there_I),
    )
    here_I = np.zeros(store.items.num_rows, np.int64)
    here_I[there_I] = np.arange(len(there_I))
    here_I[0] = 0
    known = there_I[ours.history_items] > 0
    history = there_I[ours.history_items[known]]
    # The live release may read the times of events although this recipe does not.
    times = None if store.history_times is None else prepared.history_times[known]
    place = np.append(0, np.cumsum(known))
    translated = replace(
        queries,
        user=_rows_there(ours.users, store.users)[queries.user],
        start=place[queries.start],
        end=place[queries.end],
    )
    rows_QK = np.zeros((len(queries), k), np.int64)
    progress = Progress("evaluate: live release", len(queries))
    for start in range(0, len(queries), _AT_ONCE):
        at = np.arange(start, min(start + _AT_ONCE, len(queries)))
        part = translated.take(at)
        context = store.context(raw_context(ours, part.context), part.time)
        encoded = store.queries(part.user, history, part.start, part.end, context, times=times)
        # The excluded items are those of this run, whatever the recipe of the live release masks.
        batch = QueryBatch(encoded, part.time, seen=(), excluded=[there_I[exclude[q]] for q in at.tolist()])
        rows_QK[at] = here_I[path.recommend(batch, k).ranked.rows_EK]
        progress.advance(len(at))
    return rows_QK


def raw_context(store: FeatureStore, context: Context) -> dict[str, list[Any]]:
    """The raw columns of an encoded context: the inverse of `store.context`, except for rare values."""
    columns: dict[str, list[Any]] = {}
    for field in store.schema.context.categorical:
        vocabulary = Vocabulary.open(store.folder / f"vocabularies/context.{field.name}.npy")
        rows = context.categorical[f"context.{field.name}"]
        values = vocabulary.values(rows.ravel())
        columns[field.name] = [
            [value for value in values[i : i + rows.shape[1]] if value is not None]
            for i in range(0, len(values), rows.shape[1])
        ]
    for i, number in enumerate(store.schema.context.numeric):
        standard, missing = context.numeric_EF[:, 2 * i].astype(np.float64), context.numeric_EF[:, 2 * i + 1] > 0
        columns[number.name] = np.where(missing, np.nan, standard * number.std + number.mean).tolist()
    return columns


def _available_there(ours: Availability, theirs: Availability, there_I: NDArray[np.int64]) -> Availability:
    """The availability of their item rows, from ours where we know the item; `there_I` maps our rows to theirs."""
    both = [np.array(theirs.from_N), np.array(theirs.until_N)]
    for of_N, known_I in zip(both, (ours.from_N, ours.until_N), strict=True):
        of_N[there_I[there_I > 0]] = known_I[there_I > 0]
    return Availability(*both)


def _rows_there(ours: Vocabulary, theirs: Vocabulary) -> NDArray[np.int64]:
    """Our row -> their row, 0 where they do not know the key."""
    return np.append(0, theirs.rows(np.asarray(ours.keys)))
