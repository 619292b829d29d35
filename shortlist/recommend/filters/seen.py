"""Filters items that the user has already seen (`evaluation.mask_seen`)."""

from collections.abc import Sequence

from shortlist.recommend.query import QueryBatch, Rows


class SeenFilter:
    """Leaves out the whole history of each user."""

    name = "seen"

    def dropped(self, batch: QueryBatch) -> Sequence[Rows]:
        return batch.seen
