"""What the ranker learns from: the candidates that the served index returns, and which of them are positives.

Shapes: Q questions, K candidates each, E examples of a batch.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shortlist.evaluation.metrics import find_hits
from shortlist.prepare.prepared import Prepared, Questions
from shortlist.progress import Progress
from shortlist.ranking.request import RankingRequest
from shortlist.retrieval.retrieve import Retriever

_BLOCK = 256


@dataclass(frozen=True)
class Retrieved:
    """Q questions with what the index returns for them, best first."""

    prepared: Prepared
    questions: Questions
    vectors_QD: NDArray[np.float32]
    rows_QK: NDArray[np.int32]
    """0 fills up."""
    scores_QK: NDArray[np.float32]
    hits_QK: NDArray[np.bool_]
    """Which candidates are targets of their question."""

    @property
    def num_targets(self) -> NDArray[np.int64]:
        """Targets of each question, [Q], retrieved or not."""
        return np.diff(self.questions.target_offsets)

    def request(self, at_E: NDArray[np.int64], columns_EK: NDArray[np.int64] | None = None) -> RankingRequest:
        """The questions `at_E` with all their candidates, or with those in `columns_EK`; column -1 is padding."""
        if columns_EK is None:
            rows, scores = self.rows_QK[at_E].astype(np.int64), self.scores_QK[at_E]
        else:
            rows = np.where(columns_EK >= 0, self.rows_QK[at_E[:, None], columns_EK], 0).astype(np.int64)
            scores = self.scores_QK[at_E[:, None], columns_EK]
        queries = self.prepared.queries(self.questions.take(at_E))
        return RankingRequest.of(queries, self.vectors_QD[at_E], rows, scores)


def retrieve(
    prepared: Prepared, retriever: Retriever, questions: Questions, k: int, *, mask_seen: bool, label: str
) -> Retrieved:
    """Ask the index for `k` candidates of every question, as serving does: without what was seen if `mask_seen`."""
    count, items = len(questions), prepared.store.history_items
    vectors_QD = np.zeros((count, retriever.dim), np.float32)
    rows_QK, scores_QK = np.zeros((count, k), np.int32), np.zeros((count, k), np.float32)
    progress = Progress(label, count)
    for first in range(0, count, _BLOCK):
        part = questions.take(np.arange(first, min(first + _BLOCK, count)))
        at = slice(first, first + len(part))
        vectors_QD[at] = retriever.embed(prepared.queries(part))
        bounds = zip(part.start.tolist(), part.end.tolist(), strict=True)
        seen = [items[start:end].astype(np.int64) for start, end in bounds] if mask_seen else None
        rows_QK[at], scores_QK[at] = retriever.search(vectors_QD[at], k, seen)
        progress.advance(len(part))
    hits_QK = find_hits(rows_QK, questions.target_offsets, questions.target_items)
    return Retrieved(prepared, questions, vectors_QD, rows_QK, scores_QK, hits_QK)


class RankingBatches:
    """Examples of a question: all its retrieved positives and `negatives` other candidates, or a few more where others
    of the batch have more positives.

    A positive that the index missed is none: it would stand below all negatives in retrieval score, which no served
    candidate does, and teach the ranker to turn the order around.
    """

    def __init__(
        self, retrieved: Retrieved, at_Q: NDArray[np.int64], *, negatives: int, batch_size: int, seed: int
    ) -> None:
        """Of the questions `at_Q` that have a retrieved positive."""
        self._retrieved, self._negatives, self._batch_size, self._seed = retrieved, negatives, batch_size, seed
        self._question = at_Q[retrieved.hits_QK[at_Q].any(axis=1)]
        self._order: tuple[int, NDArray[np.int64]] | None = None

    def __len__(self) -> int:
        """Examples of an epoch."""
        return len(self._question)

    def num_batches(self) -> int:
        return -(-len(self) // self._batch_size)

    def batch(self, epoch: int, step: int) -> tuple[RankingRequest, NDArray[np.bool_]]:
        """Batch `step` of `epoch`, always the same, and which of its candidates are positives, [E, K].

        The positives are the first candidates, padding the last ones.
        """
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, np.random.default_rng([self._seed, epoch]).permutation(len(self))
        question_E = self._question[self._order[1][step * self._batch_size : (step + 1) * self._batch_size]]
        column_EK = self._draw(question_E, np.random.default_rng([self._seed, epoch, step]))
        positive_EK = self._retrieved.hits_QK[question_E[:, None], column_EK] & (column_EK >= 0)
        return self._retrieved.request(question_E, column_EK), positive_EK

    def _draw(self, question_E: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """Columns of the positives and of negatives, each at most once, -1 where there are no more."""
        rows_EK, hits_EK = self._retrieved.rows_QK[question_E], self._retrieved.hits_QK[question_E]
        lot_EK = rng.random(rows_EK.shape, np.float32)
        lot_EK[hits_EK], lot_EK[rows_EK == 0] = -1, 2
        width = min(int(hits_EK.sum(axis=1).max()) + self._negatives, rows_EK.shape[1])
        drawn_EK = np.argsort(lot_EK, axis=1, kind="stable")[:, :width]
        return np.where(np.take_along_axis(lot_EK, drawn_EK, axis=1) < 2, drawn_EK, -1)
