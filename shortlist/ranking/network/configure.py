"""The shape of the ranker's network and the scales of its inputs, from the recipe and the training data.

Shapes: Q queries, K candidates each, S blended sources, P pairs of query and candidate.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.dataset.prepared import Prepared
from shortlist.ranking.network.attention import NUM_EVENTS
from shortlist.ranking.network.inputs import ItemTables, RankerConfig, last_ages
from shortlist.ranking.network.nearness import nearness
from shortlist.ranking.ranker import shapes_of
from shortlist.ranking.training.batches import Retrieved
from shortlist.recipe import Recipe
from shortlist.statistics.item_statistics import ItemStatistics

_SAMPLED_VECTORS = 100_000
_SAMPLED_QUERIES = 1_000


def ranker_config(recipe: Recipe, prepared: Prepared, tables: ItemTables, retrieved: Retrieved | None) -> RankerConfig:
    """The configuration for training on `retrieved`; None means training on labels, without retrieval features."""
    ranking = recipe.ranking
    popularity_mean, popularity_std = _log_unit(tables.popularity)
    statistics = tables.statistics
    recent = [] if statistics.recent_NR is None else [_log_unit(counts_N) for counts_N in statistics.recent_NR.T]
    ordered = recipe.interactions.ordered
    config = RankerConfig(
        **shapes_of(prepared.store, tables, users=recipe.features.user.id_dim > 0),
        retrieval=retrieved is not None,
        embeddings=ranking.embeddings,
        attention=ranking.attention and retrieved is not None,
        neighbours=ranking.neighbours if statistics.neighbours is not None else 0,
        # Without an order, all events of the history are equally informative.
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
        labels=list(recipe.interactions.labels),
        age_mean=None if prepared.store.history_times is None else 0.0,
    )
    return config if retrieved is None else config.model_copy(update=_units(retrieved, tables, config))


def _units(retrieved: Retrieved, tables: ItemTables, config: RankerConfig) -> dict[str, Any]:
    """The scales of scores, vectors, nearness and ages."""
    scores = retrieved.scores_QK[retrieved.rows_QK > 0].astype(np.float64)
    sample = tables.vectors[:: max(1, len(tables.vectors) // _SAMPLED_VECTORS)]
    return {
        "score_mean": float(scores.mean()) if len(scores) else 0.0,
        "score_std": float(scores.std()) or 1.0 if len(scores) else 1.0,
        "vector_scale": _unit_scale(sample),
        "query_scale": _unit_scale(retrieved.vectors_QD),
        "source_scale": _source_scale(retrieved),
        "near_scale": _near_scale(retrieved, tables.statistics, config) if config.neighbours else [],
        **({} if config.age_mean is None else _age_unit(retrieved)),
    }


def _log_unit(counts_N: NDArray[Any]) -> tuple[float, float]:
    """The mean and standard deviation of log(1 + count) over the catalogue; a standard deviation of 0 becomes 1."""
    log_N = np.log1p(counts_N[1:].astype(np.float64))
    return float(log_N.mean()), float(log_N.std()) or 1.0


def _age_unit(retrieved: Retrieved) -> dict[str, float]:
    """The mean and standard deviation of log(1 + days since the last event) over the candidates in a history, for a
    sample of the queries."""
    days_EK, had_EK = last_ages(retrieved.request(_sample(retrieved)))
    log_P = np.log1p(days_EK[had_EK].astype(np.float64))
    return {"age_mean": float(log_P.mean()), "age_std": float(log_P.std()) or 1.0} if len(log_P) else {}


def _near_scale(retrieved: Retrieved, statistics: ItemStatistics, config: RankerConfig) -> list[float]:
    """The mean of each nearness over the candidates where it is not 0, for a sample of the queries."""
    near = nearness(retrieved.request(_sample(retrieved)), statistics, config.num_events, ordered=config.ordered)
    near = near.reshape(-1, config.num_near).astype(np.float64)
    means = near.sum(axis=0) / np.maximum((near > 0).sum(axis=0), 1)
    return [float(mean) or 1.0 for mean in means]


def _source_scale(retrieved: Retrieved) -> list[float]:
    """The mean of the scores of each blended source over the candidates that it found; empty without a blend."""
    scores_QKS = retrieved.sources_QKS
    if scores_QKS is None:
        return []
    scores_PS = np.maximum(scores_QKS[_sample(retrieved)], 0).reshape(-1, scores_QKS.shape[2]).astype(np.float64)
    means = scores_PS.sum(axis=0) / np.maximum((scores_PS > 0).sum(axis=0), 1)
    return [float(mean) or 1.0 for mean in means]


def _sample(retrieved: Retrieved) -> NDArray[np.int64]:
    """Positions of about `_SAMPLED_QUERIES` queries."""
    return np.arange(0, len(retrieved.queries), max(1, len(retrieved.queries) // _SAMPLED_QUERIES))


def _unit_scale(vectors: NDArray[np.float32]) -> float:
    """The factor that scales the entries to a mean square of 1."""
    square = float(np.square(vectors, dtype=np.float64).mean()) if vectors.size else 0.0
    return square**-0.5 if square > 0 else 1.0
