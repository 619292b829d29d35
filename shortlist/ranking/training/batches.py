"""The training examples of the ranker: the candidates that the served index returns, with their labels.

Shapes: O objectives, Q queries, K candidates each, E examples of a batch, n negatives per positive, S blended sources.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from shortlist.dataset.prepared import EvaluationQueries, Prepared
from shortlist.metrics.ranking import find_hits
from shortlist.progress import Progress
from shortlist.recipe.fields import POSITIVE
from shortlist.recommend.query import QueryBatch
from shortlist.recommend.recommender import Recommender
from shortlist.recommend.request import RankingRequest

_BLOCK = 256


@dataclass(frozen=True)
class Retrieved:
    """Q queries with the candidates that the index returns for them, best first."""

    prepared: Prepared
    queries: EvaluationQueries
    vectors_QD: NDArray[np.float32]
    rows_QK: NDArray[np.int32]
    """Padded with 0."""
    scores_QK: NDArray[np.float32]
    hits_QK: NDArray[np.bool_]
    """Which candidates are targets of their query."""
    sources_QKS: NDArray[np.float32] | None = None
    """The score of each blended source, -inf where it did not find the candidate; None without a blend."""
    label_hits: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    """Label -> which candidates are targets of that label, [Q, K]; empty without labels."""

    def hits(self, objective: str) -> NDArray[np.bool_]:
        """Which candidates are targets of a label, or of `positive`, [Q, K]."""
        return self.hits_QK if objective == POSITIVE else self.label_hits[objective]

    @property
    def objectives(self) -> list[str]:
        return [POSITIVE, *self.label_hits]

    @property
    def num_targets(self) -> NDArray[np.int64]:
        """The number of targets of each query, [Q], retrieved or not."""
        return np.diff(self.queries.target_offsets)

    def request(self, at_E: NDArray[np.int64], columns_EK: NDArray[np.int64] | None = None) -> RankingRequest:
        """A request for the queries `at_E` with all candidates, or with those in `columns_EK`; column -1 is padding."""
        at = (at_E,) if columns_EK is None else (at_E[:, None], columns_EK)
        rows, scores = self.rows_QK[at].astype(np.int64), self.scores_QK[at]
        if columns_EK is not None:
            rows = np.where(columns_EK >= 0, rows, 0)
        sources = None if self.sources_QKS is None else self.sources_QKS[at]
        queries = self.queries.take(at_E)
        encoded = self.prepared.encode(queries)
        return RankingRequest.of(encoded, self.vectors_QD[at_E], rows, scores, sources, time_E=queries.time)


def retrieve(
    prepared: Prepared, recommender: Recommender, queries: EvaluationQueries, labels: Iterable[str] = (), *, label: str
) -> Retrieved:
    """The candidates of every query, with the path and the number of candidates of serving, and which of them are
    targets, also of the `labels` of the recipe."""
    vectors, rows, scores, sources, progress = [], [], [], [], Progress(label, len(queries))
    for first in range(0, max(len(queries), 1), _BLOCK):
        part = queries.take(np.arange(first, min(first + _BLOCK, len(queries))))
        batch = QueryBatch(prepared.encode(part), part.time, prepared.histories(part))
        found = recommender.candidates(batch, np.ones(len(part), np.int64))
        ranked = found.ranked
        assert ranked is not None
        assert len(ranked.at_A) == len(part), "the query tower encodes every query"
        vectors.append(found.encoded.vector_ED)
        rows.append(ranked.found.rows_AK.astype(np.int32))
        scores.append(ranked.found.retrieval_scores)
        if ranked.found.members_AKS is not None:
            sources.append(ranked.found.members_AKS)
        progress.advance(len(part))
    rows_QK = np.concatenate(rows)
    hits_QK = find_hits(rows_QK, queries.target_offsets, queries.target_items)
    return Retrieved(
        prepared,
        queries,
        np.concatenate(vectors),
        rows_QK,
        np.concatenate(scores),
        hits_QK,
        np.concatenate(sources) if sources else None,
        label_hits(rows_QK, queries, labels),
    )


def label_hits(
    rows_QK: NDArray[np.int32], queries: EvaluationQueries, labels: Iterable[str]
) -> dict[str, NDArray[np.bool_]]:
    """Label -> which candidates are its targets, [Q, K]."""
    targets = {name: queries.targets(name) for name in labels}
    return {name: find_hits(rows_QK, one.offsets, one.items) for name, one in targets.items()}


class RankingBatches:
    """Examples of one retrieved positive and `negatives` other candidates of the same query, or whole candidate lists.

    With labels, the one is a target of any objective, and the others may be targets too: what sets the targets of a
    label apart is learnt beside the positives that lack the label.

    A positive that the index missed is not an example: its retrieval score would be below that of all its negatives.
    No served candidate is in that position, and such examples would teach the ranker to reverse the order.
    """

    def __init__(
        self, retrieved: Retrieved, at_Q: NDArray[np.int64], *, negatives: int | None, batch_size: int, seed: int
    ) -> None:
        """Examples of the queries `at_Q`. Without `negatives`, an example is a query with all its candidates, which has
        a target of any objective among them."""
        self._retrieved, self._batch_size, self._seed = retrieved, batch_size, seed
        self._negatives = None if negatives is None else min(negatives, retrieved.rows_QK.shape[1] - 1)
        hits_QK = np.logical_or.reduce([retrieved.hits(name)[at_Q] for name in retrieved.objectives])
        query, self._column = np.nonzero(hits_QK)
        self._query = at_Q[np.unique(query) if negatives is None else query]
        self._order: tuple[int, NDArray[np.int64]] | None = None

    def __len__(self) -> int:
        """The number of examples of an epoch."""
        return len(self._query)

    def num_batches(self) -> int:
        return -(-len(self) // self._batch_size)

    def batch(self, epoch: int, step: int) -> tuple[RankingRequest, NDArray[np.float32]]:
        """Batch `step` of `epoch`, which is deterministic, and the target share of each of its candidates, [O, E, K].

        In an epoch, the shares of the targets of a query and objective sum to 1 (with `negatives` and labels, to the
        share of its examples that have such a target); other candidates have 0. With `negatives`, the one is the first
        candidate and padding comes last.
        """
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, np.random.default_rng([self._seed, epoch]).permutation(len(self))
        at_E = self._order[1][step * self._batch_size : (step + 1) * self._batch_size]
        query_E = self._query[at_E]
        hits_OEK = np.stack([self._retrieved.hits(name)[query_E] for name in self._retrieved.objectives])
        any_EK = np.asarray(hits_OEK.any(axis=0))
        share_OE1 = 1 / np.maximum(hits_OEK.sum(axis=2, keepdims=True, dtype=np.float32), 1)
        if self._negatives is None:
            return self._retrieved.request(query_E), hits_OEK * share_OE1
        one_E1 = self._column[at_E, None]
        left_out_EK = any_EK
        if self._retrieved.label_hits:
            left_out_EK = np.arange(any_EK.shape[1]) == one_E1
        negative_En = self._draw(
            query_E, left_out_EK, self._negatives, np.random.default_rng([self._seed, epoch, step])
        )
        column_EK = np.concatenate([one_E1, negative_En], axis=1)
        if self._retrieved.label_hits:
            drawn_OEK = np.take_along_axis(hits_OEK, np.maximum(column_EK, 0)[None], axis=2) & (column_EK >= 0)
            examples_E1 = any_EK.sum(axis=1, keepdims=True, dtype=np.float32)
            targets_OE1 = np.maximum(drawn_OEK.sum(axis=2, keepdims=True, dtype=np.float32), 1)
            return self._retrieved.request(query_E, column_EK), drawn_OEK / (targets_OE1 * examples_E1)
        first_K = np.arange(column_EK.shape[1]) == 0
        return self._retrieved.request(query_E, column_EK), first_K * share_OE1

    def _draw(
        self, query_E: NDArray[np.int64], left_out_EK: NDArray[np.bool_], number: int, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Columns [E, n] of candidates, drawn without replacement, padded with -1."""
        rows_EK = self._retrieved.rows_QK[query_E]
        lot_EK = rng.random(rows_EK.shape, np.float32)
        lot_EK[left_out_EK | (rows_EK == 0)] = 2
        drawn_En = np.argpartition(lot_EK, number - 1, axis=1)[:, :number]
        lot_En = np.take_along_axis(lot_EK, drawn_En, axis=1)
        order_En = np.argsort(lot_En, axis=1, kind="stable")
        drawn_En = np.where(lot_En < 2, drawn_En, -1)
        return np.take_along_axis(drawn_En, order_En, axis=1)
