"""The models that we are held against, behind one small interface; none of them is a part of the product.

A peer is made with the settings of its grid and a seed, fitted on the rows' train positives, and asked for lists.
Shapes: Q queries asked at a time, N item rows.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from benchmarks.quality.judge import best
from benchmarks.quality.rows import Ints, Rows
from shortlist.recommend.sources.popularity import Popularity


class Peer(Protocol):
    """What can be fitted and asked."""

    def fit(self, rows: Rows) -> None:
        """Learn from the train positives of `rows`; nothing of its queries but their histories may be read."""

    def rank(self, at: Ints, k: int) -> Ints:
        """The k best item rows of the queries at these positions, [Q, k]; 0 fills up."""


PEERS = {
    "popularity": "benchmarks.quality.neighbours:MostPopular",
    "recent-popularity": "benchmarks.quality.neighbours:RecentPopularity",
    "item-knn": "benchmarks.quality.neighbours:NearestItems",
    "user-knn": "benchmarks.quality.neighbours:NearestUsers",
    "ease": "benchmarks.quality.closed_form:Ease",
    "gf-cf": "benchmarks.quality.closed_form:GraphFilter",
    "als": "benchmarks.quality.factors:Als",
    "bpr": "benchmarks.quality.factors:Bpr",
    "two-tower": "benchmarks.quality.tutorial:TwoTower",
    "sasrec": "benchmarks.quality.rectools_peers:SasRec",
    "dssm": "benchmarks.quality.rectools_peers:Dssm",
    "notice-knn": "benchmarks.quality.notices:NearestNotices",
    "notice-gbdt": "benchmarks.quality.notices:BoostedTrees",
}
"""Name -> module and class, imported when it is asked for: some need packages of the bench's own environment."""
DRAWS_NOTHING = {"popularity", "item-knn", "user-knn", "ease", "gf-cf", "recent-popularity", "notice-knn"}
"""Peers that come out the same with every seed."""


def make_peer(name: str, settings: Mapping[str, Any], seed: int) -> Peer:
    module, _, kind = PEERS[name].partition(":")
    make: Callable[..., Peer] = getattr(import_module(module), kind)
    return make(seed=seed, **settings)


class Scored:
    """A peer that gives a number for every item: seen items are left out here, and ties go to the lower row.

    A query without a history gets what is popular, unless the peer knows it by something else.
    """

    rows: Rows
    needs_history = True

    def fit(self, rows: Rows) -> None:
        self.rows = rows
        self._popularity = Popularity(rows.popularity)
        self.learn(rows)

    def learn(self, rows: Rows) -> None:
        raise NotImplementedError

    def scores(self, at: Ints) -> NDArray[np.floating[Any]]:
        """[Q, N]"""
        raise NotImplementedError

    def rank(self, at: Ints, k: int) -> Ints:
        scores_QN = np.array(self.scores(at), np.float32)
        exclude = [self.rows.exclude[q] for q in at.tolist()]
        for q, rows in enumerate(exclude):
            scores_QN[q, rows] = -np.inf
        lists = best(scores_QN, k)
        empty = np.array([self.needs_history and not len(self.rows.histories[q]) for q in at.tolist()], bool)
        if empty.any():
            popular = self._popularity.rank(k, [exclude[q] for q in np.flatnonzero(empty)])
            lists[empty] = popular[:, : lists.shape[1]]
        return lists


def matrix_of(rows: Rows) -> Any:
    """Train positives as a binary sparse matrix, float32 [users, N]."""
    matrix = sp.csr_matrix(
        (np.ones(len(rows.item_I), np.float32), (rows.user_I, rows.item_I)), (rows.num_users, rows.num_items)
    )
    matrix.data[:] = 1.0  # a user who came back counts once
    return matrix


def histories_of(rows: Rows, at: Ints, last: int | None = None) -> Any:
    """The histories of queries as a binary sparse matrix, float32 [Q, N]; `last` events of each, or all."""
    cut = [rows.histories[q] if last is None else rows.histories[q][-last:] for q in at.tolist()]
    offsets = np.append(0, np.cumsum([len(one) for one in cut]))
    flat = np.concatenate([*cut, np.zeros(0, np.int64)])
    matrix = sp.csr_matrix((np.ones(len(flat), np.float32), flat, offsets), (len(at), rows.num_items))
    matrix.sum_duplicates()
    matrix.data[:] = 1.0
    return matrix
