"""Collects the item statistics that the candidate sources of a recipe read."""

from collections.abc import Sequence

from shortlist.dataset.prepared import Prepared
from shortlist.recipe import Recipe
from shortlist.statistics.find_neighbours import find_neighbours
from shortlist.statistics.item_statistics import ItemStatistics
from shortlist.statistics.of_sources import (
    half_lives_of,
    num_neighbours,
    reads_statistics,
    reads_users,
    users_compared_by,
)
from shortlist.statistics.recent_popularity import recent_popularity
from shortlist.statistics.user_knn import UserKNN


def collect_for_sources(recipe: Recipe, prepared: Prepared, parts: Sequence[int]) -> ItemStatistics:
    """The statistics of the positives in these parts of the split."""
    if not reads_statistics(recipe):
        return ItemStatistics()
    samples, num_rows = prepared.samples, prepared.store.schema.num_item_rows
    at = samples.positives(parts)
    user, item = samples.user[at], samples.item[at]
    keep, half_lives = num_neighbours(recipe), half_lives_of(recipe)
    return ItemStatistics(
        find_neighbours(user, item, num_rows, keep, ordered=recipe.interactions.ordered) if keep else None,
        UserKNN.of(user, item, num_rows) if reads_users(recipe) else None,
        recent_popularity(item, samples.time[at], num_rows, half_lives) if half_lives else None,
        {name: UserKNN.by(*prepared.store.of_users(name), user, item, num_rows) for name in users_compared_by(recipe)},
    )
