"""An item is marked as available when its events and the items table say so, and at no other time."""

import numpy as np
import polars as pl

from shortlist.dataset.availability import apply_declared, has_times
from shortlist.dataset.leakage.check import LeakageError, first_where, in_blocks
from shortlist.dataset.prepared import Prepared
from shortlist.features.availability import ALWAYS, FOREVER, Availability
from shortlist.recipe import Recipe


def prove_availability(prepared: Prepared, recipe: Recipe, items: pl.LazyFrame) -> Availability:
    """When each item is available, taken again from the samples, which hold every event, and the items table."""
    store, samples = prepared.store, prepared.samples
    found = Availability.always(store.schema.num_item_rows)
    if has_times(recipe):
        first_N = np.full(store.schema.num_item_rows, FOREVER)
        for block in in_blocks(len(samples)):
            np.minimum.at(first_N, samples.item[block], samples.time[block])
        found = Availability(np.where(first_N == FOREVER, ALWAYS, first_N), np.full(len(first_N), FOREVER))
        apply_declared(items, store.items.rows(items.select("item_id").collect()["item_id"].to_numpy()), found)
    for name, stored, found_N in (
        ("from", store.available.from_N, found.from_N),
        ("until", store.available.until_N, found.until_N),
    ):
        bad = first_where(stored[1:] != found_N[1:])
        if bad is not None:
            raise LeakageError(
                f"item row {bad + 1} is marked as available {name} {stored[bad + 1]}, the events and the items say "
                f"{found_N[bad + 1]}"
            )
    return found
