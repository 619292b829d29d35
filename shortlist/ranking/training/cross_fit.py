"""Trains the ranker on candidates, so that what judges it never taught it.

Where there are many queries a fifth of the users is held out: it chooses the epoch, judges and calibrates. Where
there are few, a fifth can do none of that, and what it does not teach is missed: each fifth is then held out of a
ranker of its own, all five together choose the epoch, judge and calibrate, and the ranker that is kept learns from all
queries, as long as they say (cross-fitting, as in stacking: Wolpert 1992). See docs/decisions/ranking-candidates.md.
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
    """A ranker, how it was trained, and what rankers say of queries that they did not learn from."""

    task: CandidateTask
    result: FitResult | None
    """None where there was nothing to learn from; the ranker is then as it starts."""
    held_out: HeldOut

    def start_again(self) -> "Learnt":
        """The ranker as it starts, on what was held out."""
        self.task.restart()
        held_out = HeldOut.of(self.task.model, self.held_out.retrieved, self.held_out.at_H)
        return dataclasses.replace(self, held_out=held_out)


def learn(recipe: Recipe, retrieved: Retrieved, tables: ItemTables, network: RankerConfig) -> Learnt:
    folds = held_out(retrieved.queries.user, recipe.seed)
    if not all(len(fold_H) and np.delete(retrieved.hits_QK, fold_H, axis=0).any() for fold_H in folds):
        say("train ranking: too few validation queries have a retrieved positive; the order of retrieval is kept")
        task = CandidateTask(recipe, retrieved, tables, network, np.concatenate(folds))
        return Learnt(task, None, task.judged())
    if len(folds) == 1:
        task = CandidateTask(recipe, retrieved, tables, network, folds[0])
        return Learnt(task, fit_ranker(recipe, task), task.judged())
    say(f"train ranking: of {len(retrieved.queries)} queries, which are few, each fifth is held out once")
    parts = []
    for number, fold_H in enumerate(folds, 1):
        part = _Part(recipe, retrieved, tables, network, fold_H)
        fit_ranker(recipe, part, f"train ranking, part {number} of {len(folds)}")
        parts.append(part.judged_after)
    judged = [HeldOut.join(epoch) for epoch in zip(*parts, strict=True)]
    whole = _Whole(recipe, retrieved, tables, network, [float(epoch.ndcg().mean()) for epoch in judged])
    result = fit_ranker(recipe, whole)
    return Learnt(whole, result, judged[result.best_epoch - 1])


class _Part(CandidateTask):
    """A ranker that judges the queries it does not learn from after every epoch, and chooses none."""

    metric = None

    @cached_property
    def judged_after(self) -> list[HeldOut]:
        """What it said of them after each epoch."""
        return []

    def validate(self) -> dict[str, float]:
        judged = self.judged()
        self.judged_after[self.epoch :] = [judged]  # that of the dry run gives way to that of the first epoch
        return {METRIC: float(judged.ndcg().mean())}


class _Whole(CandidateTask):
    """The ranker of all queries, whose epochs the others have judged."""

    def __init__(
        self, recipe: Recipe, retrieved: Retrieved, tables: ItemTables, network: RankerConfig, told: list[float]
    ) -> None:
        super().__init__(recipe, retrieved, tables, network, np.zeros(0, np.int64))
        self._told = told

    def validate(self) -> dict[str, float]:
        return {METRIC: self._told[self.epoch]}


def fit_ranker(recipe: Recipe, task: Task, label: str = "train ranking") -> FitResult:
    """One training; it is short, so that none goes on from a checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        return fit(task, recipe.ranking.training, Path(folder), seed=recipe.seed, label=label)
