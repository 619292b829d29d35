"""Peers that are solved, not trained: EASE and GF-CF."""

import numpy as np
import scipy.linalg
import scipy.sparse as sp
import scipy.sparse.linalg
from numpy.typing import NDArray

from benchmarks.quality.peers import Scored, histories_of, matrix_of
from benchmarks.quality.rows import Ints, Rows

_LARGEST_INVERSE = 20_000


class Ease(Scored):
    """EASE (Steck 2019): B = I - P diag(1 / diag(P)) with P = (X'X + regularisation I)^-1; scores are history @ B."""

    def __init__(self, seed: int, regularisation: float = 250.0) -> None:
        self.seed, self.regularisation = seed, regularisation

    def learn(self, rows: Rows) -> None:
        if rows.num_items > _LARGEST_INVERSE:
            raise ValueError(
                f"ease: the inverse of {rows.num_items} x {rows.num_items} does not fit beside other work on the "
                "machine that the bench is made for; leave it out (`left_out` of the protocol) and quote it"
            )
        matrix = matrix_of(rows).astype(np.float64)
        gram = (matrix.T @ matrix).toarray()
        gram[np.diag_indices_from(gram)] += self.regularisation
        inverse = scipy.linalg.inv(gram, overwrite_a=True, check_finite=False)
        weights = inverse / -np.diag(inverse)
        np.fill_diagonal(weights, 0.0)
        self._weights_NN = weights.astype(np.float32)

    def scores(self, at: Ints) -> NDArray[np.float32]:
        return np.asarray(histories_of(self.rows, at) @ self._weights_NN)


class GraphFilter(Scored):
    """GF-CF (Shen et al. 2021): with R normalised by the square roots of both degrees, scores are
    h R'R + alpha h D^-1/2 V V' D^1/2, V the first singular vectors of R on the items' side."""

    def __init__(self, seed: int, alpha: float = 0.3, dim: int = 256) -> None:
        self.seed, self.alpha, self.dim = seed, alpha, dim

    def learn(self, rows: Rows) -> None:
        matrix = matrix_of(rows)
        users, items = (np.asarray(matrix.sum(axis=axis)).ravel() for axis in (1, 0))
        root_U = 1 / np.sqrt(np.maximum(users, 1)).astype(np.float32)
        self._root_N = np.sqrt(np.maximum(items, 1)).astype(np.float32)
        normal = sp.diags_array(root_U) @ matrix @ sp.diags_array(1 / self._root_N)
        self._similar_NN = sp.csr_matrix(normal.T @ normal)
        dim = min(self.dim, min(normal.shape) - 1)
        start = np.random.default_rng(self.seed).standard_normal(min(normal.shape)).astype(np.float32)
        self._vectors_DN = scipy.sparse.linalg.svds(normal, dim, v0=start)[2]

    def scores(self, at: Ints) -> NDArray[np.float32]:
        asked = histories_of(self.rows, at)
        smooth = ((asked @ sp.diags_array(1 / self._root_N)) @ self._vectors_DN.T) @ self._vectors_DN * self._root_N
        return np.asarray((asked @ self._similar_NN).toarray() + self.alpha * smooth, np.float32)
