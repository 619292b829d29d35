"""Items that must not come back. A new kind is a file here and a line in `recommender.filters_of`."""

from collections.abc import Sequence
from typing import Protocol

from shortlist.recommend.query import QueryBatch, Rows


class Filter(Protocol):
    """One reason for which an item is left out. Sources look deeper for what takes its place."""

    name: str

    def dropped(self, batch: QueryBatch) -> Sequence[Rows]:
        """Item rows that must not come back, for each query, in any order; may repeat, and hold row 0. Empty where no
        query drops anything."""
