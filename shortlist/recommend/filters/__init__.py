"""Filters leave items out. A new kind is a file here and a line in `recommender.filters_of`."""

from collections.abc import Sequence
from typing import Protocol

from shortlist.recommend.query import QueryBatch, Rows


class Filter(Protocol):
    """One reason to leave an item out. Sources return other items in its place."""

    name: str

    def dropped(self, batch: QueryBatch) -> Sequence[Rows]:
        """Item rows to leave out for each query, in any order; they may repeat and include row 0. Empty if no query
        drops anything."""
