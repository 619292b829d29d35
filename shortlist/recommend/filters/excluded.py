"""Filters items that the query excludes (`exclude`)."""

from collections.abc import Sequence

from shortlist.recommend.query import QueryBatch, Rows


class ExcludedFilter:
    """Leaves out the items that each query excludes."""

    name = "excluded"

    def dropped(self, batch: QueryBatch) -> Sequence[Rows]:
        return batch.excluded
