"""Collects the item statistics that the ranker reads, from the events before the queries.

For training on validation queries, the events are those of the train window. For serving (`served`), they are those of
the train and validation windows. In both cases the statistics end just before the queries.
"""

import math

import numpy as np
from numpy.typing import NDArray

from shortlist.dataset.prepared import Prepared
from shortlist.dataset.split import TRAIN
from shortlist.recipe import Recipe, TemporalSplit
from shortlist.retrieval.refit import REFIT_PARTS
from shortlist.statistics.find_neighbours import find_neighbours
from shortlist.statistics.item_statistics import ItemStatistics
from shortlist.statistics.recent_popularity import recent_popularity
from shortlist.statistics.user_knn import UserKNN


def collect_statistics(recipe: Recipe, prepared: Prepared, *, served: bool = False) -> ItemStatistics:
    """All statistics that the recipe's ranker reads."""
    samples, num_rows = prepared.samples, prepared.store.schema.num_item_rows
    at = samples.positives(REFIT_PARTS if served else (TRAIN,))
    recent_NR = _recent(recipe, samples.item[at], samples.time[at], num_rows)
    keep, ordered = recipe.ranking.neighbours, recipe.interactions.ordered
    if not keep:
        return ItemStatistics(recent_NR=recent_NR)
    user, item = samples.user[at], samples.item[at]
    neighbours = find_neighbours(user, item, num_rows, keep, ordered=ordered)
    return ItemStatistics(neighbours, None if ordered else UserKNN.of(user, item, num_rows), recent_NR)


def _recent(
    recipe: Recipe, item_P: NDArray[np.integer], time_P: NDArray[np.integer], num_rows: int
) -> NDArray[np.float32] | None:
    """Time-decayed popularity at the last time, for data with a temporal split. The last column counts all time to the
    same end, since a trend shows only in the ratio of recent to overall popularity."""
    if not isinstance(recipe.split, TemporalSplit) or not recipe.split.valid or not recipe.ranking.recent:
        return None
    half_lives = [*(share * recipe.split.valid for share in recipe.ranking.recent), math.inf]
    return recent_popularity(item_P, time_P, num_rows, half_lives)
