"""The ranker as it learns from candidates: what the index returns for validation questions, and what was right of it.

The towers never saw those questions, so their positives stand where serving finds them: see
docs/decisions/ranking-candidates.md. Shapes: Q questions, K candidates each, E examples.
"""

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from shortlist.evaluation.metrics import measure
from shortlist.prepare.prepared import Prepared, Questions
from shortlist.ranking.batches import RankingBatches, Retrieved
from shortlist.ranking.features import ItemTables, RankerConfig
from shortlist.ranking.model import RankingModel
from shortlist.recipe import Recipe

DEPTH = 10
_HELD_OUT = 5
"""One user of so many is held out of the training, for early stop and calibration."""
_MAX_HELD_OUT = 4_000
_CANDIDATES_AT_A_TIME = 32_768


def answerable(recipe: Recipe, prepared: Prepared) -> Questions:
    """The validation questions that serving ranks: of whom nothing is known gets what is popular."""
    questions, user = prepared.valid, prepared.store.schema.user
    if user.categorical or user.numeric or recipe.features.user.id_dim:
        return questions
    return questions.take(np.flatnonzero(questions.end > questions.start))


def held_out(user_Q: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
    """Whether each user's question is held out, by a hash (splitmix64, Steele et al. 2014) of its row and the seed."""
    with np.errstate(over="ignore"):
        x = user_Q.astype(np.uint64) + np.uint64(seed % 2**63) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    held_out: NDArray[np.bool_] = (x ^ (x >> np.uint64(31))) % np.uint64(_HELD_OUT) == 0
    return held_out


class CandidateTask:
    """The ranker as the training loop sees it (`fit.Task`)."""

    metric = f"ndcg_at_{DEPTH}"

    def __init__(
        self,
        recipe: Recipe,
        retrieved: Retrieved,
        tables: ItemTables,
        network: RankerConfig,
        held_out: NDArray[np.bool_],
    ) -> None:
        ranking = recipe.ranking
        self.retrieved, self.listwise = retrieved, ranking.loss == "listwise"
        self.held_out_Q = np.flatnonzero(held_out)[:_MAX_HELD_OUT]
        self.batches = RankingBatches(
            retrieved,
            np.flatnonzero(~held_out),
            # Nearness by way of the other candidates wants all of them, as serving has them.
            negatives=ranking.negatives if network.ordered else None,
            batch_size=ranking.training.batch_size,
            seed=recipe.seed,
        )
        torch.manual_seed(recipe.seed)
        self.model: RankingModel = RankingModel(network, tables)
        self._start = copy.deepcopy(self.model.state_dict())

    def restart(self) -> None:
        """Take the weights of before the training."""
        self.model.load_state_dict(self._start)

    def num_batches(self, epoch: int) -> int:  # noqa: ARG002 - every epoch shows each example once
        return self.batches.num_batches()

    def loss(self, epoch: int, step: int) -> tuple[Tensor, int]:
        request, positive_EK = self.batches.batch(epoch, step)
        logits_EK = self.model(request)
        inside_EK = torch.from_numpy(request.candidates_EK > 0).to(logits_EK.device)
        target_EK = torch.from_numpy(positive_EK).to(logits_EK.device)
        if self.listwise:
            # Softmax over the list; the positives share what is right (ListNet's top one, Cao et al. 2007). A list
            # counts as much as it has positives, as it does in recall.
            log_share_EK = logits_EK.masked_fill(~inside_EK, -torch.inf).log_softmax(dim=1)
            return -log_share_EK[target_EK].mean(), len(logits_EK)
        each_EK = functional.binary_cross_entropy_with_logits(logits_EK, target_EK.float(), reduction="none")
        return (each_EK * inside_EK).sum() / inside_EK.sum(), len(logits_EK)

    def validate(self) -> dict[str, float]:
        return {self.metric: float(self.ndcg(self.held_out_logits()).mean())}

    def held_out_logits(self) -> NDArray[np.float32]:
        """Of all candidates of the held-out questions, [Q, K]; -inf for padding."""
        width = self.retrieved.rows_QK.shape[1]
        size = max(1, _CANDIDATES_AT_A_TIME // width)
        logits_QK = np.empty((len(self.held_out_Q), width), np.float32)
        training = self.model.training
        self.model.eval()
        with torch.inference_mode():
            for first in range(0, len(logits_QK), size):
                request = self.retrieved.request(self.held_out_Q[first : first + size])
                logits = self.model(request).float().cpu().numpy()
                logits_QK[first : first + size] = np.where(request.candidates_EK > 0, logits, -np.inf)
        self.model.train(training)
        return logits_QK

    def ndcg(self, logits_QK: NDArray[np.float32]) -> NDArray[np.float64]:
        """NDCG at 10 of each held-out question, [Q]; targets that the index missed count as missed."""
        order_QK = np.argsort(-logits_QK, axis=1, kind="stable")
        hits_QK = np.take_along_axis(self.retrieved.hits_QK[self.held_out_Q], order_QK, axis=1)
        return measure(hits_QK, self.retrieved.num_targets[self.held_out_Q], [DEPTH])[self.metric]
