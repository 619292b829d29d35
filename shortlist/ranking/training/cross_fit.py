"""Trains the ranker on candidates, and validates it on queries that it was not trained on.

With many queries, a fifth of the users is held out to choose the epoch, to validate and to calibrate. With few queries,
a fifth is too small for that, and too valuable for training. Then each fifth is held out of a separate ranker
(cross-fitting, as in stacking: Wolpert 1992): all five folds together choose the epoch, validate and calibrate, and the
final ranker is trained on all queries for that number of epochs. See docs/decisions/ranking-candidates.md.
"""

import dataclasses
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from shortlist.progress import say
from shortlist.ranking.network.inputs import ItemTables, RankerConfig
from shortlist.ranking.training.batches import Retrieved
from shortlist.ranking.training.candidate_task import CandidateTask
from shortlist.ranking.training.held_out import METRIC, HeldOut, held_out
from shortlist.recipe import Recipe
from shortlist.training.fit import FitResult, Task, fit


@dataclass(frozen=True)
class Learnt:
    """A ranker, the result of its training, and out-of-fold logits of the held-out queries."""

    task: CandidateTask
    result: FitResult | None
    """None if there was no training data; the ranker then has its initial weights."""
    held_out: HeldOut

    def start_again(self) -> "Learnt":
        """The ranker with its initial weights, evaluated on the same held-out queries."""
        self.task.restart()
        old = self.held_out
        held_out = HeldOut.of(self.task.model, old.retrieved, old.at_H, old.objective)
        return dataclasses.replace(self, held_out=held_out)


def learn(recipe: Recipe, retrieved: Retrieved, tables: ItemTables, network: RankerConfig) -> Learnt:
    folds = held_out(retrieved.queries.user, recipe.seed)
    if not all(len(fold_H) and np.delete(retrieved.hits_QK, fold_H, axis=0).any() for fold_H in folds):
        say("train ranking: too few validation queries have a retrieved positive; the order of retrieval is kept")
        task = CandidateTask(recipe, retrieved, tables, network, np.concatenate(folds))
        return Learnt(task, None, task.evaluate_held_out())
    if len(folds) == 1:
        task = CandidateTask(recipe, retrieved, tables, network, folds[0])
        return Learnt(task, fit_ranker(recipe, task), task.evaluate_held_out())
    say(f"train ranking: only {len(retrieved.queries)} queries, so that each fifth is held out once (cross-fitting)")
    parts = []
    for number, fold_H in enumerate(folds, 1):
        part = _FoldTask(recipe, retrieved, tables, network, fold_H)
        fit_ranker(recipe, part, f"train ranking, fold {number} of {len(folds)}")
        parts.append(part.held_out_after)
    evaluated = [HeldOut.join(epoch) for epoch in zip(*parts, strict=True)]
    whole = _AllQueriesTask(recipe, retrieved, tables, network, [float(epoch.ndcg().mean()) for epoch in evaluated])
    result = fit_ranker(recipe, whole)
    return Learnt(whole, result, evaluated[result.best_epoch - 1])


class _FoldTask(CandidateTask):
    """The ranker of one fold, which is evaluated on its held-out queries after every epoch and keeps the last one."""

    metric = None

    @cached_property
    def held_out_after(self) -> list[HeldOut]:
        """The held-out queries with their logits after each epoch."""
        return []

    def validate(self) -> dict[str, float]:
        evaluated = self.evaluate_held_out()
        self.held_out_after[self.epoch :] = [evaluated]  # the first epoch replaces the result of the dry run
        return {METRIC: float(evaluated.ndcg().mean())}


class _AllQueriesTask(CandidateTask):
    """The ranker on all queries, whose best epoch is chosen by the rankers of the folds."""

    def __init__(
        self,
        recipe: Recipe,
        retrieved: Retrieved,
        tables: ItemTables,
        network: RankerConfig,
        ndcg_by_epoch: list[float],
    ) -> None:
        super().__init__(recipe, retrieved, tables, network, np.zeros(0, np.int64))
        self._ndcg_by_epoch = ndcg_by_epoch

    def validate(self) -> dict[str, float]:
        return {METRIC: self._ndcg_by_epoch[self.epoch]}


def fit_ranker(recipe: Recipe, task: Task, label: str = "train ranking") -> FitResult:
    """Train one ranker; training is short and never resumes from a checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        return fit(task, recipe.ranking.training, Path(folder), seed=recipe.seed, label=label)
