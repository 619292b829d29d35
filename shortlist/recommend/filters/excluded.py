"""What a query names (`exclude`)."""

from collections.abc import Sequence

from shortlist.recommend.query import QueryBatch, Rows


class ExcludedFilter:
    """Leaves out what each query excludes."""

    name = "excluded"

    def dropped(self, batch: QueryBatch) -> Sequence[Rows]:
        return batch.excluded
