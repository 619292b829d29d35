"""The held-out queries of a ranker: the same kind of queries as in training, from other users.

Shapes: O objectives, Q queries, H of them held out, K candidates each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from shortlist.hashing import GAMMA, splitmix64
from shortlist.metrics.ranking import ranking_metrics
from shortlist.ranking.network.model import RankingModel
from shortlist.ranking.training.batches import Retrieved
from shortlist.recommend.objective import weights_of

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
    logits_OHK: NDArray[np.float32]
    """-inf for padding."""
    objective: Mapping[str, float]
    """The weights of the recipe; with labels, they also weigh the metrics of the objectives."""

    @classmethod
    def of(
        cls, model: RankingModel, retrieved: Retrieved, at_H: NDArray[np.int64], objective: Mapping[str, float]
    ) -> "HeldOut":
        width = retrieved.rows_QK.shape[1]
        size = max(1, _CANDIDATES_AT_A_TIME // width)
        logits_OHK = np.empty((len(retrieved.objectives), len(at_H), width), np.float32)
        training = model.training
        model.eval()
        with torch.inference_mode():
            for first in range(0, len(at_H), size):
                request = retrieved.request(at_H[first : first + size])
                logits = model.objectives(request).float().cpu().numpy()
                logits_OHK[:, first : first + size] = np.where(request.candidates_EK > 0, logits, -np.inf)
        model.train(training)
        return cls(retrieved, at_H, logits_OHK, objective)

    @classmethod
    def join(cls, parts: "Sequence[HeldOut]") -> "HeldOut":
        """Concatenate the parts, which have the same `retrieved`."""
        at_H = np.concatenate([part.at_H for part in parts])
        logits_OHK = np.concatenate([part.logits_OHK for part in parts], axis=1)
        return cls(parts[0].retrieved, at_H, logits_OHK, parts[0].objective)

    @property
    def weights(self) -> NDArray[np.float64]:
        """How much the metric of each objective counts."""
        return np.abs(weights_of(self.objective, self.retrieved.objectives)).astype(np.float64)

    def hits(self, objective: str) -> NDArray[np.bool_]:
        """Which candidates are targets of an objective, [H, K]."""
        return self.retrieved.hits(objective)[self.at_H]

    def ndcg(self) -> NDArray[np.float64]:
        """NDCG at 10 of each query by the logits; targets that the index missed count as misses.

        With labels: the weighted mean of that of each objective in the order of its own logits, over the objectives of
        which the query has a target; queries with no weighted target are left out.
        """
        return self._ndcg([np.argsort(-logits_HK, axis=1, kind="stable") for logits_HK in self.logits_OHK])

    def ndcg_in_order(self, scores_HK: NDArray[np.floating]) -> NDArray[np.float64]:
        """As `ndcg`, where all objectives are judged in one order."""
        return self._ndcg([np.argsort(-scores_HK, axis=1, kind="stable")] * len(self.logits_OHK))

    def ndcg_retrieved(self) -> NDArray[np.float64]:
        """As `ndcg`, in the order of retrieval."""
        width = self.logits_OHK.shape[2]
        return self._ndcg([np.broadcast_to(np.arange(width), self.logits_OHK.shape[1:])] * len(self.logits_OHK))

    def _ndcg(self, orders_OHK: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
        total_H, weight_H = np.zeros(len(self.at_H)), np.zeros(len(self.at_H))
        for weight, name, order_HK in zip(self.weights.tolist(), self.retrieved.objectives, orders_OHK, strict=True):
            count_H = self.retrieved.queries.targets(name).counts[self.at_H]
            hits_HK = np.take_along_axis(self.hits(name), order_HK, axis=1)
            counts_H = weight * (count_H > 0)
            total_H += counts_H * ranking_metrics(hits_HK, count_H, [DEPTH])[METRIC]
            weight_H += counts_H
        judged = weight_H > 0
        return total_H[judged] / weight_H[judged]
