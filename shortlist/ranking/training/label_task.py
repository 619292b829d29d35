"""The training task of the ranker on labels: events with a positive or negative label instead of candidate lists.

It uses no retrieval features: the towers were trained on the positives of the train window, so that their scores leak
the label there, and only there. The ranker learns the probability of the label given the user, the item and the
context. Shapes: O objectives, n labelled events, E of them in a batch.
"""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor
from torch.nn import functional

from shortlist.dataset.prepared import Prepared
from shortlist.dataset.split import TRAIN, VALID
from shortlist.ranking.network.inputs import ItemTables, RankerConfig
from shortlist.ranking.network.model import RankingModel
from shortlist.recipe import Recipe
from shortlist.recipe.fields import POSITIVE
from shortlist.recommend.objective import weights_of
from shortlist.recommend.request import RankingRequest
from shortlist.sampling import draw_rows

_AT_ONCE = 8_192


@dataclass(frozen=True)
class Labelled:
    """n labelled events: samples of the prepared folder."""

    prepared: Prepared
    at_n: NDArray[np.int64]
    """The positions of the events in the samples."""

    @classmethod
    def of(cls, prepared: Prepared, part: int, limit: int, seed: int) -> "Labelled":
        """At most `limit` samples of a part, drawn by the seed."""
        at_n = np.flatnonzero(prepared.samples.part == part)
        return cls(prepared, at_n[draw_rows(len(at_n), limit, seed)])

    @property
    def labels(self) -> NDArray[np.bool_]:
        return self.labels_of(POSITIVE)

    def labels_of(self, objective: str) -> NDArray[np.bool_]:
        """Which events have a label of the recipe, or are positives, [n]."""
        samples = self.prepared.samples
        label = samples.label if objective == POSITIVE else samples.labels[objective]
        return np.asarray(label[self.at_n], bool)

    def request(self, at_E: NDArray[np.int64], vector_dim: int) -> RankingRequest:
        """Each event as a query with its item as the only candidate."""
        samples, store, at = self.prepared.samples, self.prepared.store, self.at_n[at_E]
        queries = store.queries(
            samples.user[at],
            store.history_items,
            samples.start[at],
            samples.end[at],
            samples.context.take(at),
            times=store.history_times,
        )
        item_E1 = samples.item[at].astype(np.int64)[:, None]
        nothing = np.zeros((len(at), vector_dim), np.float32), np.zeros((len(at), 1), np.float32)
        return RankingRequest.of(queries, nothing[0], item_E1, nothing[1], time_E=samples.time[at])


class LabelTask:
    """The ranker as a task of the training loop (`fit.Task`)."""

    metric = "auc"

    def __init__(self, recipe: Recipe, prepared: Prepared, tables: ItemTables, network: RankerConfig) -> None:
        ranking = recipe.ranking
        self.train = Labelled.of(prepared, TRAIN, np.iinfo(np.int64).max, recipe.seed)
        self.valid = Labelled.of(prepared, VALID, ranking.max_queries, recipe.seed)
        self.names, self._objective = network.objectives, ranking.objective
        self._batch_size, self._seed, self._dim = ranking.training.batch_size, recipe.seed, network.vector_dim
        torch.manual_seed(recipe.seed)
        self.model: RankingModel = RankingModel(network, tables)
        self._start = copy.deepcopy(self.model.state_dict())
        self._order: tuple[int, NDArray[np.int64]] | None = None

    def restart(self) -> None:
        """Reset the weights to those before the training."""
        self.model.load_state_dict(self._start)

    def num_batches(self, epoch: int) -> int:  # noqa: ARG002 - every epoch shows each event once
        return -(-len(self.train.at_n) // self._batch_size)

    def loss(self, epoch: int, step: int) -> tuple[Tensor, int]:
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, np.random.default_rng([self._seed, epoch]).permutation(len(self.train.at_n))
        at_E = self._order[1][step * self._batch_size : (step + 1) * self._batch_size]
        logits_OE = self.model.objectives(self.train.request(at_E, self._dim))[:, :, 0]
        label_OE = torch.from_numpy(np.stack([self.train.labels_of(name)[at_E] for name in self.names])).to(logits_OE)
        return functional.binary_cross_entropy_with_logits(logits_OE, label_OE), len(at_E)

    def validate(self) -> dict[str, float]:
        """The AUC of the positives; with labels, the mean of all AUCs, weighted by the objective of the recipe."""
        weight_O = np.abs(weights_of(self._objective, self.names)).astype(np.float64)
        logits_On = self.objectives(self.valid)
        found = [
            auc(logits_n, self.valid.labels_of(name)) for name, logits_n in zip(self.names, logits_On, strict=True)
        ]
        return {self.metric: float(weight_O @ found / weight_O.sum())}

    def logits(self, events: Labelled) -> NDArray[np.float32]:
        """The logits of the positives of the items of all events, [n]."""
        logits_n: NDArray[np.float32] = self.objectives(events)[0]
        return logits_n

    def objectives(self, events: Labelled) -> NDArray[np.float32]:
        """The logits of all objectives, [O, n]."""
        logits_On = np.empty((len(self.names), len(events.at_n)), np.float32)
        training = self.model.training
        self.model.eval()
        with torch.inference_mode():
            for first in range(0, len(events.at_n), _AT_ONCE):
                at_E = np.arange(first, min(first + _AT_ONCE, len(events.at_n)))
                logits_OE1 = self.model.objectives(events.request(at_E, self._dim))
                logits_On[:, at_E] = logits_OE1[:, :, 0].float().cpu().numpy()
        self.model.train(training)
        return logits_On


def auc(scores: NDArray[np.floating], labels: NDArray[np.bool_]) -> float:
    """The area under the ROC curve: the probability that a positive scores above a negative; ties count half.

    The Mann-Whitney statistic divided by the number of pairs (Hanley and McNeil 1982); 0.5 if a class is empty.
    """
    positives = int(labels.sum())
    pairs = positives * (len(labels) - positives)
    if pairs == 0:
        return 0.5
    return float((rankdata(scores)[labels].sum() - positives * (positives + 1) / 2) / pairs)
