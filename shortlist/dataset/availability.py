"""From when until when each item is available, found from the items table and the events."""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.tables import AVAILABLE
from shortlist.dataset.clean_events import CleanEvents, Entities
from shortlist.dataset.encode import rows_of
from shortlist.features.availability import ALWAYS, FOREVER, Availability
from shortlist.recipe import Recipe


def find_availability(recipe: Recipe, events: CleanEvents, items: Entities) -> Availability:
    """The interval of every item row.

    An item is available from its `available_from`; without one from its first event, positive or not; without an event
    always. It is available until its `available_until`; without one forever. In data without times every item is always
    available.
    """
    if not has_times(recipe):
        return Availability.always(items.vocabulary.num_rows)
    first_N = events.first_times(items.vocabulary)
    from_N = np.where(first_N == FOREVER, ALWAYS, first_N)
    available = Availability(from_N, np.full(len(from_N), FOREVER))
    apply_declared(
        items.table, rows_of(items.table.select("item_id").collect()["item_id"], items.vocabulary), available
    )
    return available


def apply_declared(table: pl.LazyFrame, row: NDArray[Any], available: Availability) -> None:
    """Replace bounds by those that the items table declares; its lines are the item rows `row`."""
    names = table.collect_schema().names()
    for name, of_N in zip(AVAILABLE, (available.from_N, available.until_N), strict=True):
        if name in names:
            declared = table.select(name).collect()[name]
            there = declared.is_not_null().to_numpy()
            of_N[row[there]] = declared.drop_nulls().to_numpy()


def has_times(recipe: Recipe) -> bool:
    return recipe.interactions.time_unit != "row"
