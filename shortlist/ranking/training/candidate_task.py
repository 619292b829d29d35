"""The ranker as it learns from candidates: what the index returns for validation queries, and what was right of it.

The towers never saw those queries, so their positives stand where serving finds them: see
docs/decisions/ranking-candidates.md. Shapes: Q queries, H of them held out, K candidates each, E examples.
"""

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from shortlist.dataset.prepared import EvaluationQueries, Prepared
from shortlist.ranking.network.inputs import ItemTables, RankerConfig
from shortlist.ranking.network.model import RankingModel
from shortlist.ranking.training.batches import RankingBatches, Retrieved
from shortlist.ranking.training.conditional_logit import begin_with_line
from shortlist.ranking.training.held_out import METRIC, HeldOut
from shortlist.ranking.training.listwise import listwise_loss
from shortlist.recipe import Recipe
from shortlist.recommend.query import is_known, reads_profiles


def answerable(recipe: Recipe, prepared: Prepared) -> EvaluationQueries:
    """The validation queries that serving ranks: those of whom the towers know something."""
    queries, profiles = prepared.valid, reads_profiles(recipe, prepared.store.schema)
    known_Q = is_known(queries.end - queries.start, queries.user, reads_profiles=profiles)
    return queries if known_Q.all() else queries.take(np.flatnonzero(known_Q))


class CandidateTask:
    """The ranker as the training loop sees it (`fit.Task`): it learns from all queries but those held out, which say
    after which epoch it was best."""

    metric: str | None = METRIC

    def __init__(
        self,
        recipe: Recipe,
        retrieved: Retrieved,
        tables: ItemTables,
        network: RankerConfig,
        held_out_H: NDArray[np.int64],
    ) -> None:
        ranking = recipe.ranking
        self.retrieved, self.held_out_H, self.listwise = retrieved, held_out_H, ranking.loss == "listwise"
        self.epoch = 0
        """That is being learnt."""
        taught_Q = np.setdiff1d(np.arange(len(retrieved.queries)), held_out_H)
        self.batches = RankingBatches(
            retrieved,
            taught_Q,
            # Nearness by way of the other candidates wants all of them, as serving has them.
            negatives=ranking.negatives if network.ordered else None,
            batch_size=ranking.training.batch_size,
            seed=recipe.seed,
        )
        torch.manual_seed(recipe.seed)
        self.model: RankingModel = RankingModel(network, tables)
        self._start = copy.deepcopy(self.model.state_dict())
        if self.listwise:
            begin_with_line(self.model, retrieved, taught_Q)

    def restart(self) -> None:
        """Take the weights of before the training."""
        self.model.load_state_dict(self._start)

    def num_batches(self, epoch: int) -> int:  # noqa: ARG002 - every epoch shows each example once
        return self.batches.num_batches()

    def loss(self, epoch: int, step: int) -> tuple[Tensor, int]:
        self.epoch = epoch
        request, share_EK = self.batches.batch(epoch, step)
        logits_EK = self.model(request)
        inside_EK = torch.from_numpy(request.candidates_EK > 0).to(logits_EK.device)
        right_EK = torch.from_numpy(share_EK).to(logits_EK.device)
        if self.listwise:
            return listwise_loss(logits_EK, inside_EK, right_EK), len(logits_EK)
        target_EK = (right_EK > 0).float()
        each_EK = functional.binary_cross_entropy_with_logits(logits_EK, target_EK, reduction="none")
        return (each_EK * inside_EK).sum() / inside_EK.sum(), len(logits_EK)

    def validate(self) -> dict[str, float]:
        return {METRIC: float(self.judged().ndcg().mean())}

    def judged(self) -> HeldOut:
        """The held-out queries with the logits of the network as it is."""
        return HeldOut.of(self.model, self.retrieved, self.held_out_H)
