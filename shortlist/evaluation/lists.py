"""Properties of the lists that no metric shows: untrained items, indistinguishable items, ties, identical lists.

Shapes: Q queries, K ranked items, N item rows (0 among them), D width of a vector.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.dataset.prepared import EvaluationQueries, Prepared
from shortlist.dataset.split import TRAIN, VALID
from shortlist.features import FeatureStore
from shortlist.metrics.ranking import coverage
from shortlist.recipe import Recipe
from shortlist.retrieval.shared_vectors import shared

_MOST_RECOMMENDED = 10
_SAMPLE_USERS = 10
_SHOWN_HISTORY = 10


@dataclass(frozen=True)
class Ranked:
    """The recommendations of a system, best first; scores are NaN where it has none."""

    rows_QK: NDArray[np.int64]
    scores_QK: NDArray[np.floating[Any]]


@dataclass(frozen=True)
class ItemMarks:
    """The items that the models know little about, each bool [N]."""

    untrained: NDArray[np.bool_]
    one_vector: NDArray[np.bool_]
    """Items that share their vector with other items."""

    @classmethod
    def of(cls, recipe: Recipe, prepared: Prepared, retrieval: Path) -> "ItemMarks":
        """From the items that the towers were trained on (with a refit, also those of the validation window), and the
        exported vectors."""
        trained = np.asarray(prepared.store.popularity) > 0
        if recipe.retrieval.refit.epochs:
            trained = trained.copy()
            trained[prepared.samples.item[prepared.samples.positives([TRAIN, VALID])]] = True
        vectors = np.load(retrieval / "vectors.npy", mmap_mode="r", allow_pickle=False).view(np.ndarray)
        return cls(~trained, np.append(False, shared(vectors)))


def describe_lists(
    systems: Mapping[str, Ranked],
    by_models_Q: NDArray[np.bool_],
    marks: ItemMarks,
    queries: EvaluationQueries,
    store: FeatureStore,
    k: int,
) -> dict[str, Any]:
    """The `lists` of evaluation.json: the first `k` items of each system, over the queries that the models answered.

    Unknown users get the cold-start fallback, which is the same list for all of them. These queries (`~by_models_Q`)
    are counted, but left out of the statistics.
    """
    by_models = queries.take(np.flatnonzero(by_models_Q))
    targets = marks.untrained[by_models.target_items]
    times = queries.time if len(queries) else np.zeros(1, np.int64)
    available_N = store.available.within(int(times.min()), int(times.max()))
    return {
        "k": k,
        "queries": len(queries),
        "by_popularity": int((~by_models_Q).sum()),
        "without_history": int((by_models.start == by_models.end).sum()),
        "items": int(available_N.sum()),
        "untrained_items": _share(marks.untrained[available_N]),
        "one_vector_items": _share(marks.one_vector[available_N]),
        "untrained_targets": _share(targets),
        "systems": {
            name: _statistics(one.rows_QK[by_models_Q, :k], one.scores_QK[by_models_Q, :k], marks, store, available_N)
            for name, one in systems.items()
            if by_models_Q.any()
        },
    }


def _statistics(
    rows_QK: NDArray[np.int64],
    scores_QK: NDArray[np.floating[Any]],
    marks: ItemMarks,
    store: FeatureStore,
    available_N: NDArray[np.bool_],
) -> dict[str, Any]:
    listed_QK = rows_QK > 0
    rows = rows_QK[listed_QK]
    tie_Q, tied_QK = ties(scores_QK, listed_QK)
    counts_N = np.bincount(rows, minlength=len(marks.untrained))
    most = np.argsort(-counts_N, kind="stable")[:_MOST_RECOMMENDED]
    most = most[counts_N[most] > 0]
    return {
        "untrained": _share(marks.untrained[rows]),
        "one_vector": _share(marks.one_vector[rows]),
        "indistinct": _share(marks.untrained[rows] & marks.one_vector[rows]),
        "tied": _share(tied_QK[listed_QK]),
        "tied_lists": _share(tie_Q > 1),
        "longest_tie": round(float(tie_Q[tie_Q > 1].mean()), 2) if (tie_Q > 1).any() else 0.0,
        "distinct": round(len(np.unique(rows_QK, axis=0)) / max(len(rows_QK), 1), 6),
        "coverage": round(coverage(rows_QK, int(available_N.sum()), rows_QK.shape[1]), 6),
        "most_recommended": [
            item | {"share": round(int(counts_N[row]) / len(rows_QK), 6)}
            for item, row in zip(_items(store, most), most.tolist(), strict=True)
        ],
    }


def ties(
    scores_QK: NDArray[np.floating[Any]], listed_QK: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The length of the longest run of equal scores in each list, [Q], 1 without a tie; and which items are in a run,
    [Q, K]."""
    one, next_ = scores_QK[:, :-1], scores_QK[:, 1:]
    with np.errstate(invalid="ignore"):
        equal = np.abs(one - next_) <= 1e-5 * np.abs(one) + 1e-9
    equal &= listed_QK[:, :-1] & listed_QK[:, 1:]
    run, longest = np.ones(len(scores_QK), np.int64), np.ones(len(scores_QK), np.int64)
    for at in range(equal.shape[1]):
        run = np.where(equal[:, at], run + 1, 1)
        longest = np.maximum(longest, run)
    tied_QK = np.zeros(scores_QK.shape, bool)
    tied_QK[:, :-1] |= equal
    tied_QK[:, 1:] |= equal
    return longest, tied_QK


def sample_users(
    systems: Mapping[str, Ranked],
    by_models_Q: NDArray[np.bool_],
    queries: EvaluationQueries,
    store: FeatureStore,
    k: int,
) -> list[dict[str, Any]]:
    """Ten users from the shortest to the longest history: their latest events, and the list of each system with its
    hits."""
    order = np.argsort(queries.end - queries.start, kind="stable")
    at = order[np.unique(np.linspace(0, len(order) - 1, _SAMPLE_USERS).astype(np.int64))] if len(order) else order
    users = []
    for q, user in zip(at.tolist(), store.users.values(queries.user[at]), strict=True):
        start, end = int(queries.start[q]), int(queries.end[q])
        latest = np.asarray(store.history_items[max(start, end - _SHOWN_HISTORY) : end])[::-1].astype(np.int64)
        targets = queries.target_items[queries.target_offsets[q] : queries.target_offsets[q + 1]]
        lists = {}
        for name, one in systems.items():
            rows = one.rows_QK[q, :k]
            rows = rows[rows > 0]
            hits = np.isin(rows, targets).tolist()
            lists[name] = [item | {"hit": hit} for item, hit in zip(_items(store, rows), hits, strict=True)]
        users.append(
            {
                "user": str(user),
                "history_length": end - start,
                "history": _items(store, latest),
                "num_targets": len(targets),
                "by_popularity": not bool(by_models_Q[q]),
                "lists": lists,
            }
        )
    return users


def _items(store: FeatureStore, rows: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Ids as text, since many JSON readers round large integers, and titles, empty where there are none."""
    return [
        {"id": str(item), "title": title}
        for item, title in zip(store.items.values(rows), store.titles(rows), strict=True)
    ]


def _share(of: NDArray[np.bool_]) -> float:
    return round(float(of.mean()), 6) if of.size else 0.0
