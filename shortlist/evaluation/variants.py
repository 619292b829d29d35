"""Properties of the lists of one variant of a recommender, which no metric of its hits shows.

Shapes: Q queries, K listed items, D width of vectors.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shortlist.features import FeatureStore
from shortlist.metrics.ranking import coverage
from shortlist.retrieval.retrieve import Retriever


class Variant(NamedTuple):
    """The properties of the lists of a variant."""

    coverage: float
    """Share of the available items that are in a list."""
    diversity: float
    """1 minus the mean cosine similarity of two items of a list, by the vectors of the candidate tower."""
    novelty: float
    """Mean self-information of the listed items in bits."""
    milliseconds: float
    """Time of a query."""


def describe_variant(
    rows_QK: NDArray[np.int64], retriever: Retriever, store: FeatureStore, num_items: int, seconds: float
) -> Variant:
    """The properties of lists of `num_items` available items, which took `seconds` together."""
    return Variant(
        round(coverage(rows_QK, num_items, rows_QK.shape[1]), 6),
        round(_diversity(retriever, rows_QK), 6),
        round(_novelty(np.asarray(store.popularity), rows_QK), 6),
        round(1e3 * seconds / max(len(rows_QK), 1), 3),
    )


def _diversity(retriever: Retriever, rows_QK: NDArray[np.int64]) -> float:
    distances = []
    for rows in rows_QK:
        unit_KD = retriever.unit_vectors(rows[rows > 0])
        count = len(unit_KD)
        if count > 1:
            similarity = (float(np.square(unit_KD.sum(axis=0)).sum()) - count) / (count * (count - 1))
            distances.append(1 - similarity)
    return float(np.mean(distances)) if distances else 0.0


def _novelty(popularity_N: NDArray[np.int64], rows_QK: NDArray[np.int64]) -> float:
    """-log2 of an item's share of the train positives, with one more positive for each item (Castells, Vargas and Wang
    2011)."""
    share_N = (popularity_N + 1) / (popularity_N.sum() + len(popularity_N))
    rows = rows_QK[rows_QK > 0]
    return float(-np.log2(share_N[rows]).mean()) if len(rows) else 0.0
