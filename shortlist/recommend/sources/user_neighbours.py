"""Items of the users who are most similar to the user of a query, by their events or by a category: user k-NN.

Shapes: as in `sources`; X values of a query, M items of its neighbours.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.features.availability import Availability
from shortlist.recipe.candidates import UserNeighbours
from shortlist.recommend.query import Rows
from shortlist.recommend.sources import Encoded, Found
from shortlist.recommend.sources.best_of import best_of
from shortlist.recommend.sources.recent_events import for_users, have_events, recent_events
from shortlist.statistics.user_knn import UserKNN


class UserNeighboursSource:
    """Items of the most similar users, with the sum of their squared similarities (Resnick et al. 1994)."""

    ranked = False
    searches = True

    def __init__(self, users: UserKNN, available: Availability, settings: UserNeighbours, *, seed: int) -> None:
        self.name = settings.label
        self._users, self._available, self._settings = users, available, settings
        self._seed = [seed, users.fingerprint] if settings.draw is not None else []

    def answers(self, encoded: Encoded) -> NDArray[np.bool_]:
        if self._settings.by is None:
            return have_events(encoded) & encoded.selects(self.name)
        found: NDArray[np.bool_] = self._values(encoded).any(axis=1) & for_users(encoded)
        return found & encoded.selects(self.name)

    def find(self, encoded: Encoded, at_A: NDArray[np.int64], depth_A: NDArray[np.int64], dropped: list[Rows]) -> Found:
        user_E, reach = encoded.batch.queries.user_E, self._settings.reach

        def scores(e: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
            own = np.unique(recent_events(encoded, e, ordered=False)[0])
            values_X = own if self._settings.by is None else np.unique(self._values(encoded)[e])
            nearest = self._users.nearest(values_X, self._settings.neighbours, user=int(user_E[e]))
            found = self._users.items_of(*nearest, own, reach)
            return found.rows, found.scores

        draw = None if self._settings.draw is None else lambda e, rows: self._drawn(int(user_E[e]), rows)
        return best_of(scores, self._available, encoded, at_A, depth_A, dropped, draw)

    def _values(self, encoded: Encoded) -> NDArray[np.int64]:
        """The values that users are compared by, [E, W]; 0 is padding."""
        return encoded.batch.queries.categorical[f"user.{self._settings.by}"]

    def _drawn(self, user: int, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Positions of a uniform draw, the same for the same user, data and seed."""
        assert self._settings.draw is not None
        if len(rows) <= self._settings.draw:
            return np.arange(len(rows))
        rng = np.random.default_rng([*self._seed, user])
        return np.sort(rng.choice(len(rows), self._settings.draw, replace=False))
