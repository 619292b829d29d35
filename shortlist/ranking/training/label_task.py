"""The training task of the ranker on labels: events with a positive or negative label instead of candidate lists.

It uses no retrieval features: the towers were trained on the positives of the train window, so that their scores leak
the label there, and only there. The ranker learns the probability of the label given the user, the item and the
context. Shapes: n labelled events, E of them in a batch.
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
        return np.asarray(self.prepared.samples.label[self.at_n], bool)

    def request(self, at_E: NDArray[np.int64], vector_dim: int) -> RankingRequest:
        """Each event as a query with its item as the only candidate."""
        samples, store, at = self.prepared.samples, self.prepared.store, self.at_n[at_E]
        queries = store.queries(
            samples.user[at], store.history_items, samples.start[at], samples.end[at], samples.context.take(at)
        )
        item_E1 = samples.item[at].astype(np.int64)[:, None]
        nothing = np.zeros((len(at), vector_dim), np.float32), np.zeros((len(at), 1), np.float32)
        return RankingRequest.of(queries, nothing[0], item_E1, nothing[1])


class LabelTask:
    """The ranker as a task of the training loop (`fit.Task`)."""

    metric = "auc"

    def __init__(self, recipe: Recipe, prepared: Prepared, tables: ItemTables, network: RankerConfig) -> None:
        ranking = recipe.ranking
        self.train = Labelled.of(prepared, TRAIN, np.iinfo(np.int64).max, recipe.seed)
        self.valid = Labelled.of(prepared, VALID, ranking.max_queries, recipe.seed)
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
        logits_E = self.model(self.train.request(at_E, self._dim))[:, 0]
        label_E = torch.from_numpy(self.train.labels[at_E]).to(logits_E)
        return functional.binary_cross_entropy_with_logits(logits_E, label_E), len(at_E)

    def validate(self) -> dict[str, float]:
        return {self.metric: auc(self.logits(self.valid), self.valid.labels)}

    def logits(self, events: Labelled) -> NDArray[np.float32]:
        """The logits of the items of all events, [n]."""
        logits_n = np.empty(len(events.at_n), np.float32)
        training = self.model.training
        self.model.eval()
        with torch.inference_mode():
            for first in range(0, len(logits_n), _AT_ONCE):
                at_E = np.arange(first, min(first + _AT_ONCE, len(logits_n)))
                logits_n[at_E] = self.model(events.request(at_E, self._dim))[:, 0].float().cpu().numpy()
        self.model.train(training)
        return logits_n


def auc(scores: NDArray[np.floating], labels: NDArray[np.bool_]) -> float:
    """The area under the ROC curve: the probability that a positive scores above a negative; ties count half.

    The Mann-Whitney statistic divided by the number of pairs (Hanley and McNeil 1982); 0.5 if a class is empty.
    """
    positives = int(labels.sum())
    pairs = positives * (len(labels) - positives)
    if pairs == 0:
        return 0.5
    return float((rankdata(scores)[labels].sum() - positives * (positives + 1) / 2) / pairs)
