"""The shape of the ranker's network and the units of its inputs, from the recipe and the data that it learns from.

Shapes: Q questions, K candidates each.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.prepare.prepared import Prepared
from shortlist.prepare.split import TRAIN
from shortlist.ranking.attention import NUM_EVENTS
from shortlist.ranking.batches import Retrieved
from shortlist.ranking.features import ItemTables, RankerConfig, nearness
from shortlist.ranking.find_neighbours import find_neighbours
from shortlist.ranking.neighbours import Neighbours
from shortlist.ranking.ranker import shapes_of
from shortlist.ranking.recent import recent_popularity
from shortlist.recipe import Recipe, TemporalSplit
from shortlist.retrieval.refit import PARTS

_SAMPLED_VECTORS = 100_000
_SAMPLED_QUESTIONS = 1_000


def network_of(recipe: Recipe, prepared: Prepared, tables: ItemTables, retrieved: Retrieved | None) -> RankerConfig:
    """The network that learns from `retrieved`, or from labels, where it reads nothing of retrieval."""
    ranking = recipe.ranking
    popularity_mean, popularity_std = _log_unit(tables.popularity)
    recent = [] if tables.recent_NR is None else [_log_unit(counts_N) for counts_N in tables.recent_NR.T]
    ordered = recipe.interactions.ordered
    config = RankerConfig(
        **shapes_of(prepared.store, tables, users=recipe.features.user.id_dim > 0),
        retrieval=retrieved is not None,
        embeddings=ranking.embeddings,
        attention=ranking.attention and retrieved is not None,
        neighbours=ranking.neighbours if tables.neighbours is not None else 0,
        # Without an order no event says more than another.
        num_events=NUM_EVENTS if ordered else recipe.features.history_length,
        ordered=ordered,
        cross_layers=ranking.cross_layers,
        low_rank=ranking.low_rank,
        num_experts=ranking.experts,
        hidden=ranking.hidden,
        dropout=ranking.dropout,
        popularity_mean=popularity_mean,
        popularity_std=popularity_std,
        recent_mean=[mean for mean, _ in recent],
        recent_std=[std for _, std in recent],
    )
    return config if retrieved is None else config.model_copy(update=_units(retrieved, tables, config))


def _units(retrieved: Retrieved, tables: ItemTables, config: RankerConfig) -> dict[str, Any]:
    """Of scores, vectors and nearness."""
    scores = retrieved.scores_QK[retrieved.rows_QK > 0].astype(np.float64)
    sample = tables.vectors[:: max(1, len(tables.vectors) // _SAMPLED_VECTORS)]
    return {
        "score_mean": float(scores.mean()) if len(scores) else 0.0,
        "score_std": float(scores.std()) or 1.0 if len(scores) else 1.0,
        "vector_scale": _unit_scale(sample),
        "query_scale": _unit_scale(retrieved.vectors_QD),
        "near_scale": [] if tables.neighbours is None else _near_scale(retrieved, tables.neighbours, config),
    }


def neighbours_of(recipe: Recipe, prepared: Prepared, *, served: bool = False) -> Neighbours | None:
    """Of the train window, for the validation questions that teach; where `served`, to those who come after the
    validation window, of both: each question meets what was counted until just before it."""
    if not recipe.ranking.neighbours:
        return None
    samples, at = prepared.samples, _counted(prepared, served=served)
    return find_neighbours(
        samples.user[at],
        samples.item[at],
        prepared.store.schema.num_item_rows,
        recipe.ranking.neighbours,
        ordered=recipe.interactions.ordered,
    )


def recent_of(recipe: Recipe, prepared: Prepared, *, served: bool = False) -> NDArray[np.float32] | None:
    """Recent popularity at the end of the train window, or where `served` of the validation window, of data that is cut
    by time. What was taken of all time comes last, counted to the same end: only beside it does a count of late say
    whether an item rises."""
    if not isinstance(recipe.split, TemporalSplit) or not recipe.split.valid or not recipe.ranking.recent:
        return None
    samples, at = prepared.samples, _counted(prepared, served=served)
    half_lives = [*(share * recipe.split.valid for share in recipe.ranking.recent), math.inf]
    return recent_popularity(samples.item[at], samples.time[at], prepared.store.schema.num_item_rows, half_lives)


def _counted(prepared: Prepared, *, served: bool) -> NDArray[np.int64]:
    """The samples that tables of the ranker count."""
    return prepared.samples.positives(PARTS if served else (TRAIN,))


def _log_unit(counts_N: NDArray[Any]) -> tuple[float, float]:
    """Mean and deviation over the catalogue of log(1 + count); a deviation of 0 is told as 1."""
    log_N = np.log1p(counts_N[1:].astype(np.float64))
    return float(log_N.mean()), float(log_N.std()) or 1.0


def _near_scale(retrieved: Retrieved, neighbours: Neighbours, config: RankerConfig) -> list[float]:
    """The mean of each nearness over the candidates that have any, of some of the questions."""
    at = np.arange(0, len(retrieved.questions), max(1, len(retrieved.questions) // _SAMPLED_QUESTIONS))
    near = nearness(retrieved.request(at), neighbours, config.num_events, ordered=config.ordered)
    near = near.reshape(-1, config.num_near).astype(np.float64)
    means = near.sum(axis=0) / np.maximum((near > 0).sum(axis=0), 1)
    return [float(mean) or 1.0 for mean in means]


def _unit_scale(vectors: NDArray[np.float32]) -> float:
    """What brings the entries to a mean square of 1."""
    square = float(np.square(vectors, dtype=np.float64).mean()) if vectors.size else 0.0
    return square**-0.5 if square > 0 else 1.0
