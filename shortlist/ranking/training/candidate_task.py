"""The training task of the ranker on candidates that the index returns for validation queries.

The towers were not trained on these queries, so that their positives have the ranks that they have in serving: see
docs/decisions/ranking-candidates.md. Shapes: O objectives, Q queries, H of them held out,
K candidates each, E examples.
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
    """The validation queries that serving would rank: those of users that the query tower can encode."""
    queries, profiles = prepared.valid, reads_profiles(recipe, prepared.store.schema)
    known_Q = is_known(queries.end - queries.start, queries.user, reads_profiles=profiles)
    return queries if known_Q.all() else queries.take(np.flatnonzero(known_Q))


class CandidateTask:
    """The ranker as a task of the training loop (`fit.Task`): it is trained on all queries except the held-out ones,
    which choose the best epoch."""

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
        self.objective = recipe.ranking.objective
        self.epoch = 0
        """The current epoch."""
        train_Q = np.setdiff1d(np.arange(len(retrieved.queries)), held_out_H)
        self.batches = RankingBatches(
            retrieved,
            train_Q,
            # The nearness through the other candidates needs all of them, as in serving.
            negatives=ranking.negatives if network.ordered else None,
            batch_size=ranking.training.batch_size,
            seed=recipe.seed,
        )
        torch.manual_seed(recipe.seed)
        self.model: RankingModel = RankingModel(network, tables)
        self._start = copy.deepcopy(self.model.state_dict())
        if self.listwise:
            begin_with_line(self.model, retrieved, train_Q)

    def restart(self) -> None:
        """Reset the weights to those before the training."""
        self.model.load_state_dict(self._start)

    def num_batches(self, epoch: int) -> int:  # noqa: ARG002 - every epoch shows each example once
        return self.batches.num_batches()

    def loss(self, epoch: int, step: int) -> tuple[Tensor, int]:
        self.epoch = epoch
        request, share_OEK = self.batches.batch(epoch, step)
        logits_OEK = self.model.objectives(request)
        inside_EK = torch.from_numpy(request.candidates_EK > 0).to(logits_OEK.device)
        inside_OEK = inside_EK.expand_as(logits_OEK)
        target_share_OEK = torch.from_numpy(share_OEK).to(logits_OEK.device)
        if self.listwise:  # the mean over pairs of a query and an objective of which it has a target
            return listwise_loss(*(x.flatten(0, 1) for x in (logits_OEK, inside_OEK, target_share_OEK))), len(inside_EK)
        target_OEK = (target_share_OEK > 0).float()
        each_OEK = functional.binary_cross_entropy_with_logits(logits_OEK, target_OEK, reduction="none")
        return (each_OEK * inside_OEK).sum() / inside_OEK.sum(), len(inside_EK)

    def validate(self) -> dict[str, float]:
        return {METRIC: float(self.evaluate_held_out().ndcg().mean())}

    def evaluate_held_out(self) -> HeldOut:
        """The held-out queries with the logits of the current network."""
        return HeldOut.of(self.model, self.retrieved, self.held_out_H, self.objective)
