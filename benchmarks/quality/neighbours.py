"""Peers that count: popularity, popularity of late, item-kNN and user-kNN."""

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.peers import Scored, histories_of, matrix_of
from benchmarks.quality.rows import Ints, Rows
from shortlist.evaluation.baselines import ItemKNN
from shortlist.recommend.sources.popularity import Popularity

_DAY = 86_400


class MostPopular:
    """Everyone gets the most frequent items."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def fit(self, rows: Rows) -> None:
        self.rows, self._popularity = rows, Popularity(rows.popularity)

    def rank(self, at: Ints, k: int) -> Ints:
        exclude = self.rows.exclude
        return self._popularity.rank(k, [exclude[q] for q in at.tolist()])


class RecentPopularity(Scored):
    """An item's score is its train positives, each counting half as much for every `half_life` days of its age."""

    needs_history = False

    def __init__(self, seed: int, half_life: int = 365) -> None:
        self.seed, self.half_life = seed, half_life

    def learn(self, rows: Rows) -> None:
        age_P = (rows.asked_Q.min() - rows.time_I) / _DAY
        self._score_N = np.bincount(rows.item_I, 0.5 ** (age_P / self.half_life), rows.num_items)

    def scores(self, at: Ints) -> NDArray[np.float64]:
        return np.tile(self._score_N, (len(at), 1))


class NearestItems:
    """Item-kNN by cosine, `shortlist.evaluation.baselines.ItemKNN`, over the last `history` events."""

    def __init__(self, seed: int, neighbours: int = 100, history: int = 200) -> None:
        self.seed, self.neighbours, self.history = seed, neighbours, history

    def fit(self, rows: Rows) -> None:
        self.rows = rows
        self._histories = [one[-self.history :] for one in rows.histories]
        read = np.unique(np.concatenate([*self._histories, np.zeros(0, np.int64)]))
        self._model = ItemKNN(
            rows.user_I, rows.item_I, rows.popularity, read, neighbours=self.neighbours, max_events=1_000
        )

    def rank(self, at: Ints, k: int) -> Ints:
        exclude = self.rows.exclude
        return self._model.rank(k, [self._histories[q] for q in at.tolist()], [exclude[q] for q in at.tolist()])


class NearestUsers(Scored):
    """User-kNN by cosine (Resnick et al. 1994, on binary data): an item's score is the sum of the similarities of those
    among the `neighbours` nearest users who had it."""

    def __init__(self, seed: int, neighbours: int = 100) -> None:
        self.seed, self.neighbours = seed, neighbours

    def learn(self, rows: Rows) -> None:
        self._matrix = matrix_of(rows)
        self._length_U = np.sqrt(np.asarray(self._matrix.sum(axis=1)).ravel())

    def scores(self, at: Ints) -> NDArray[np.float32]:
        asked = histories_of(self.rows, at)
        similar_QU = (asked @ self._matrix.T).toarray()
        length_Q = np.sqrt(np.asarray(asked.sum(axis=1)).ravel())
        similar_QU /= np.maximum(length_Q[:, None] * self._length_U, 1.0)
        similar_QU[np.arange(len(at)), self.rows.user_Q[at]] = 0.0  # nobody is a neighbour of their own
        least = np.partition(similar_QU, -self.neighbours, axis=1)[:, -self.neighbours, None]
        return np.asarray(np.where(similar_QU >= least, similar_QU, 0.0) @ self._matrix, np.float32)
