"""Negatives from our own index: the best wrong answers, and no right one."""

from pathlib import Path

import numpy as np
import pytest
import torch
from clean_tables import random_events, recipe, write_clean

from shortlist.dataset.prepare import prepare
from shortlist.dataset.prepared import Prepared
from shortlist.recipe import Recipe
from shortlist.retrieval.train_retrieval import RetrievalTask


def made_for(**more: str) -> Recipe:
    return recipe(
        features="{history_length: 5, item: {id_dim: 8}}",
        retrieval="{dim: 8, hidden: [], negatives: {kind: in_batch, num_hard: 4}, "
        "training: {batch_size: 32, device: cpu}}",
        **more,
    )


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> RetrievalTask:
    made = tmp_path_factory.mktemp("hard")
    prepare(made_for(), write_clean(made / "clean", random_events(0)), made / "prepared")
    return RetrievalTask(made_for(), Prepared.open(made / "prepared"))


def test_they_are_the_best_answers_that_are_not_right(task: RetrievalTask) -> None:
    task.loss(0, 0)
    task.model.eval()
    mined, samples = task.steps.hard_negatives, task.prepared.samples
    assert mined is not None
    examples = task.batches.examples
    inputs, vectors = task.catalogue()
    for user in np.unique(samples.user[examples]):
        at = examples[samples.user[examples] == user]
        last = at[-1:]
        queries = task.prepared.store.queries(
            samples.user[last], task.prepared.store.history_items, samples.start[last], samples.end[last],
            samples.context.take(last),
        )  # fmt: skip
        with torch.no_grad():
            scores = (task.query(queries, inputs[torch.from_numpy(queries.history_BL)]) @ vectors.T)[0].numpy()
        scores[samples.item[at]] = -np.inf
        scores[0] = -np.inf
        assert set(mined.of(np.array([user]))[0].tolist()) == set(np.argsort(-scores)[:4].tolist())


def test_they_are_found_anew_each_epoch(task: RetrievalTask) -> None:
    mined = task.steps.hard_negatives
    assert mined is not None
    users = np.unique(task.prepared.samples.user[task.batches.examples])
    task.loss(0, 0)
    first = mined.of(users)
    task.model.items.id.weight.data.normal_()
    task.loss(0, 1)
    assert np.array_equal(mined.of(users), first)
    task.loss(1, 0)
    assert not np.array_equal(mined.of(users), first)
    assert task.model.training, "mining leaves the model in training"


def test_a_user_who_has_nearly_all_has_few(tmp_path: Path) -> None:
    """Of 6 items user 0 has 5: what was there when they were last taken is left of the others, and none is made up."""
    events = {"user_id": [], "item_id": [], "time": []}
    for user, items in ((0, range(5)), (1, range(1, 3)), (2, range(3, 6)), (0, [0]), (1, [3]), (2, [1])):
        for item in items:
            events["user_id"].append(user)
            events["item_id"].append(item)
            events["time"].append(len(events["time"]))
    made = recipe(
        "{kind: leave_one_out}",
        retrieval="{dim: 8, negatives: {kind: mixed, num_hard: 4}, training: {batch_size: 32, device: cpu}}",
        evaluation="{mask_seen: false}",
    )
    prepare(made, write_clean(tmp_path / "clean", events), tmp_path / "prepared")
    task = RetrievalTask(made, Prepared.open(tmp_path / "prepared"))
    task.model.train()
    assert torch.isfinite(task.loss(0, 0)[0])
    mined, samples = task.steps.hard_negatives, task.prepared.samples
    assert mined is not None
    for user in np.unique(samples.user[task.batches.examples]):
        at = task.batches.examples[samples.user[task.batches.examples] == user]
        own, there = samples.item[at], task.prepared.store.available.at(samples.time[at[-1]])
        found = mined.of(np.array([user]))[0]
        assert there[found[found > 0]].all()
        assert not np.isin(found[found > 0], own).any()
        assert len(np.unique(found[found > 0])) == (found > 0).sum() == min(4, there.sum() - len(np.unique(own)))


def test_only_the_sampled_softmaxes_take_them() -> None:
    with pytest.raises(ValueError, match=r"retrieval.negatives.num_hard: unknown key"):
        recipe(retrieval="{negatives: {kind: full, num_hard: 3}}")
    with pytest.raises(ValueError, match="only the loss softmax supports hard negatives; set num_hard to 0"):
        recipe(retrieval="{loss: {kind: bpr}, negatives: {kind: mixed, num_hard: 3}}")
