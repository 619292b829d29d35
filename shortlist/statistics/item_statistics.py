"""Item statistics of the events before the queries, which the ranker and the candidate sources read.

Shapes: N item rows, R half-lives.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shortlist.statistics import recent_popularity as recent
from shortlist.statistics.item_neighbours import ItemNeighbours
from shortlist.statistics.user_knn import UserKNN


@dataclass(frozen=True)
class ItemStatistics:
    """The statistics; each is None if it is not read."""

    neighbours: ItemNeighbours | None = None
    user_knn: UserKNN | None = None
    recent_NR: NDArray[np.float32] | None = None
    """Time-decayed popularity."""
    users_by: dict[str, UserKNN] = field(default_factory=dict)
    """Category of the users -> the users compared by it."""

    def users(self, by: str | None) -> UserKNN:
        """The users compared by a category, or by their items; a source of the recipe must read them."""
        found = self.user_knn if by is None else self.users_by[by]
        assert found is not None, "the recipe has no source that reads the users of the items"
        return found

    @classmethod
    def open(
        cls, folder: Path, *, num_tables: int, user_knn: bool, half_lives: int, users_by: Sequence[str] = ()
    ) -> "ItemStatistics":
        """The statistics of a release, with `num_tables` neighbour tables, counts for `half_lives` half-lives, and
        users compared by these categories.

        Raises ValueError when a file is missing or broken, or has another shape.
        """
        return cls(
            ItemNeighbours.open(folder, num_tables) if num_tables else None,
            UserKNN.open(folder) if user_knn else None,
            recent.open_recent(folder, half_lives) if half_lives else None,
            {name: UserKNN.open(folder, name) for name in users_by},
        )

    def save(self, folder: Path) -> None:
        if self.neighbours is not None:
            self.neighbours.save(folder)
        if self.user_knn is not None:
            self.user_knn.save(folder)
        for name, users in self.users_by.items():
            users.save(folder, name)
        if self.recent_NR is not None:
            np.save(folder / recent.FILE, self.recent_NR)

    def num_rows(self) -> dict[str, int]:
        """The number of item rows of each statistic, by name."""
        rows = {}
        if self.neighbours is not None:
            rows["neighbours"] = self.neighbours.rows_TNn.shape[1]
        if self.user_knn is not None:
            rows["users of the items"] = self.user_knn.num_rows
        for name, users in self.users_by.items():
            rows[f"items of the users by {name}"] = users.num_rows
        if self.recent_NR is not None:
            rows["counts of recent popularity"] = len(self.recent_NR)
        return rows
