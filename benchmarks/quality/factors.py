"""Peers from `implicit`: ALS (Hu, Koren and Volinsky 2008) and BPR (Rendle et al. 2009)."""

import numpy as np
from implicit.als import AlternatingLeastSquares
from implicit.bpr import BayesianPersonalizedRanking
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.quality.peers import Scored, histories_of, matrix_of
from benchmarks.quality.rows import Ints, Rows


class Als(Scored):
    """Each query's vector is solved from its history, so that new users are answered too."""

    def __init__(
        self, seed: int, factors: int = 64, regularization: float = 0.05, alpha: float = 10.0, iterations: int = 15
    ) -> None:
        self.model = AlternatingLeastSquares(
            factors=factors,
            regularization=regularization,
            alpha=alpha,
            iterations=iterations,
            random_state=seed,
            use_gpu=False,
        )

    def learn(self, rows: Rows) -> None:
        with threadpool_limits(1, "blas"):
            self.model.fit(matrix_of(rows), show_progress=False)

    def scores(self, at: Ints) -> NDArray[np.float32]:
        asked = histories_of(self.rows, at)
        with threadpool_limits(1, "blas"):
            vectors_QD = self.model.recalculate_user(np.arange(len(at)), asked)
        return np.asarray(vectors_QD @ self.model.item_factors.T, np.float32)


class Bpr(Scored):
    """Users who were not there in training are answered by the mean vector of the items in their history."""

    def __init__(
        self,
        seed: int,
        factors: int = 64,
        learning_rate: float = 0.05,
        regularization: float = 0.01,
        iterations: int = 100,
    ) -> None:
        self.model = BayesianPersonalizedRanking(
            factors=factors,
            learning_rate=learning_rate,
            regularization=regularization,
            iterations=iterations,
            random_state=seed,
            use_gpu=False,
            num_threads=1,
        )

    def learn(self, rows: Rows) -> None:
        matrix = matrix_of(rows)
        self.model.fit(matrix, show_progress=False)
        self._known_U = np.diff(matrix.indptr) > 0

    def scores(self, at: Ints) -> NDArray[np.float32]:
        users, items = self.model.user_factors, self.model.item_factors
        user_Q = self.rows.user_Q[at]
        asked = histories_of(self.rows, at)
        mean_QD = (asked @ items) / np.maximum(np.asarray(asked.sum(axis=1)).reshape(-1, 1), 1)
        vectors_QD = np.where(self._known_U[user_Q, None], users[user_Q], mean_QD)
        return np.asarray(vectors_QD @ items.T, np.float32)
