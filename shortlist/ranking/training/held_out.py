"""The held-out queries of a ranker: the same kind of queries as in training, from other users.

Shapes: Q queries, H of them held out, K candidates each.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from shortlist.hashing import GAMMA, splitmix64
from shortlist.metrics.ranking import ranking_metrics
from shortlist.ranking.network.model import RankingModel
from shortlist.ranking.training.batches import Retrieved

DEPTH = 10
METRIC = f"ndcg_at_{DEPTH}"
NUM_FOLDS = 5
_FEW = 1_000
"""With fewer queries, a fifth is too small to compare rankers or epochs."""
_MOST = 4_000
_CANDIDATES_AT_A_TIME = 32_768


def folds_of(user_Q: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """The fold of each query, by a hash of the user's row and the seed."""
    with np.errstate(over="ignore"):
        state_Q = user_Q.astype(np.uint64) + np.uint64(seed % 2**63) * GAMMA
    return (splitmix64(state_Q) % np.uint64(NUM_FOLDS)).astype(np.int64)


def held_out(user_Q: NDArray[np.int64], seed: int) -> list[NDArray[np.int64]]:
    """The positions of the held-out queries of each training: one fifth of the users if that is large enough,
    otherwise every fifth in turn."""
    fold_Q = folds_of(user_Q, seed)
    folds = [np.flatnonzero(fold_Q == fold) for fold in range(NUM_FOLDS)]
    if len(user_Q) >= _FEW:
        return [folds[0][:_MOST]]
    return [fold for fold in folds if len(fold)] or folds[:1]


@dataclass(frozen=True)
class HeldOut:
    """Logits of held-out queries, from one ranker or from the ranker of each fold."""

    retrieved: Retrieved
    at_H: NDArray[np.int64]
    logits_HK: NDArray[np.float32]
    """-inf for padding."""

    @classmethod
    def of(cls, model: RankingModel, retrieved: Retrieved, at_H: NDArray[np.int64]) -> "HeldOut":
        width = retrieved.rows_QK.shape[1]
        size = max(1, _CANDIDATES_AT_A_TIME // width)
        logits_HK = np.empty((len(at_H), width), np.float32)
        training = model.training
        model.eval()
        with torch.inference_mode():
            for first in range(0, len(logits_HK), size):
                request = retrieved.request(at_H[first : first + size])
                logits = model(request).float().cpu().numpy()
                logits_HK[first : first + size] = np.where(request.candidates_EK > 0, logits, -np.inf)
        model.train(training)
        return cls(retrieved, at_H, logits_HK)

    @classmethod
    def join(cls, parts: "Sequence[HeldOut]") -> "HeldOut":
        """Concatenate the parts, which have the same `retrieved`."""
        at_H = np.concatenate([part.at_H for part in parts])
        return cls(parts[0].retrieved, at_H, np.concatenate([part.logits_HK for part in parts]))

    @property
    def hits(self) -> NDArray[np.bool_]:
        """Which candidates are targets, [H, K]."""
        return self.retrieved.hits_QK[self.at_H]

    def ndcg(self) -> NDArray[np.float64]:
        """NDCG at 10 of each query in the order of the logits, [H]; targets that the index missed count as misses."""
        order_HK = np.argsort(-self.logits_HK, axis=1, kind="stable")
        return self._ndcg(np.take_along_axis(self.hits, order_HK, axis=1))

    def ndcg_retrieved(self) -> NDArray[np.float64]:
        """NDCG at 10 of each query in the order of retrieval, [H]."""
        return self._ndcg(self.hits)

    def _ndcg(self, hits_HK: NDArray[np.bool_]) -> NDArray[np.float64]:
        return ranking_metrics(hits_HK, self.retrieved.num_targets[self.at_H], [DEPTH])[METRIC]
