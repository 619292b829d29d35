"""Training the towers on small prepared data, from the first step to the checkpoint that export reads."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clean_tables import recipe, write_clean
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from shortlist.dataset.prepare import prepare
from shortlist.dataset.prepared import Prepared
from shortlist.recipe import Recipe
from shortlist.retrieval.losses import Compared
from shortlist.retrieval.task import RetrievalTask
from shortlist.retrieval.train_retrieval import train_retrieval
from shortlist.retrieval.unique import Unique
from shortlist.training import checkpoints

ITEMS, USERS = 30, 60
SMALL = "batch_size: 32, epochs: 3, learning_rate: 0.02, device: cpu"


def made_for(retrieval: str = "", training: str = SMALL, **blocks: str) -> Recipe:
    return recipe(
        features="{history_length: 6, item: {id_dim: 16}}",
        retrieval=f"{{dim: 16, hidden: [], dropout: 0.1, training: {{{training}}}, {retrieval}}}",
        **blocks,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """After item i comes item i + 1, nearly always: what comes next can be learnt from the history alone."""
    rng = np.random.default_rng(0)
    events: dict[str, list[Any]] = {"user_id": [], "item_id": [], "time": []}
    for user in range(USERS):
        item, steps = int(rng.integers(ITEMS)), np.sort(rng.choice(100, 20, replace=False))
        for time in steps:
            item = (item + 1) % ITEMS if rng.random() < 0.95 else int(rng.integers(ITEMS))
            events["user_id"].append(user)
            events["item_id"].append(item)
            events["time"].append(int(time))
    events["user_id"].append(0)
    events["item_id"].append(ITEMS)  # met in the test window only
    events["time"].append(99)
    made = tmp_path_factory.mktemp("train_retrieval")
    prepare(made_for(), write_clean(made / "clean", events), made / "prepared")
    return made / "prepared"


@pytest.mark.parametrize("encoder", ["attention", "transformer", "hstu"])
@pytest.mark.parametrize("positions", ["last", "every"])
@pytest.mark.parametrize("negatives", ["in_batch", "full"])
def test_it_learns_what_comes_next(folder: Path, tmp_path: Path, encoder: str, positions: str, negatives: str) -> None:
    batch = 32 if positions == "last" else 16
    made = made_for(
        f"encoder: {encoder}, positions: {positions}, loss: {{kind: softmax, temperature: 0.1}}, "
        f"negatives: {{kind: {negatives}}}",
        f"batch_size: {batch}, epochs: 8, learning_rate: 0.02, device: cpu, patience: 8",
        evaluation="{mask_seen: false}",
    )
    result = train_retrieval(made, Prepared.open(folder), tmp_path)
    assert result.metrics["valid_recall_at_10"] > 0.75  # 10 of 31 items by chance are 0.32
    assert result.details["curves"]["loss"][-1] < result.details["curves"]["loss"][0]
    assert len(result.details["curves"]["learning_rate"]) == 8
    assert result.metrics["examples_per_second"] > 0
    assert result.rows_in["train_positives"] > 500


def test_long_tables_learn_sparsely(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shortlist.retrieval.tables._SPARSE_FROM", 1)
    made = made_for(
        "loss: {kind: softmax, temperature: 0.1}", "epochs: 6, learning_rate: 0.05, batch_size: 32, device: cpu"
    )
    task = task_of(folder, made)
    task.loss(0, 0)[0].backward()
    gradient = task.model.items.id.weight.grad
    assert gradient is not None
    assert gradient.is_sparse
    assert train_retrieval(made, Prepared.open(folder), tmp_path).metrics["valid_recall_at_10"] > 0.7


def test_a_stopped_training_ends_with_the_same_bits(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With dropout, hidden ids and drawn negatives, killed in the middle of an epoch."""
    made = made_for(
        "encoder: transformer, positions: every, negatives: {kind: in_batch, max_in_batch: 7}, id_dropout: 0.2",
        SMALL + ", accumulate: 2",
    )
    train_retrieval(made, Prepared.open(folder), tmp_path / "whole")
    original, steps = RetrievalTask.loss, []

    def loss(self: RetrievalTask, epoch: int, step: int) -> tuple[Tensor, int]:
        steps.append((epoch, step))
        if len(steps) == 13:
            raise KeyboardInterrupt
        return original(self, epoch, step)

    with monkeypatch.context() as patch:
        patch.setattr(RetrievalTask, "loss", loss)
        with pytest.raises(KeyboardInterrupt):
            train_retrieval(made, Prepared.open(folder), tmp_path / "stopped")
    assert steps[-1][0] == 1, "the kill should come after a checkpoint"
    train_retrieval(made, Prepared.open(folder), tmp_path / "stopped")
    whole, stopped = (checkpoints.read(tmp_path / name, "last") for name in ("whole", "stopped"))
    assert whole is not None
    assert stopped is not None
    assert all(torch.equal(whole.weights[name], stopped.weights[name]) for name in whole.weights)


def test_two_trainings_end_with_the_same_bits(folder: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        train_retrieval(made_for(), Prepared.open(folder), tmp_path / name)
    one, two = (checkpoints.best_weights(tmp_path / name) for name in ("one", "two"))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_other_data_begin_anew(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train_retrieval(made_for(), Prepared.open(folder), tmp_path)
    train_retrieval(made_for("loss: {kind: softmax, temperature: 0.2}"), Prepared.open(folder), tmp_path)
    assert "training from scratch" in capsys.readouterr().out


def task_of(folder: Path, made: Recipe) -> RetrievalTask:
    return RetrievalTask(made, Prepared.open(folder))


def test_both_kinds_of_positions_have_the_same_loss_over_the_same_examples(folder: Path) -> None:
    """Windows of whole histories hold the very examples of `last`, when they are short enough."""
    losses = []
    for positions in ("last", "every"):
        made = recipe(
            features="{history_length: 6, item: {id_dim: 16}}",
            retrieval=f"{{dim: 16, positions: {positions}, encoder: transformer, negatives: {{kind: full}}, "
            "dropout: 0.0, id_dropout: 0.0, training: {batch_size: 5000, device: cpu}}",
        )
        task = task_of(folder, made)
        early = np.flatnonzero(
            np.diff(np.stack([task.prepared.samples.start, task.prepared.samples.end]), axis=0)[0] < 4
        )
        part = np.array(task.prepared.samples.part)
        part[np.setdiff1d(np.arange(len(part)), early)] = 0
        object.__setattr__(task.prepared.samples, "part", part)
        task = RetrievalTask(made, task.prepared)
        losses.append((task.loss(0, 0)[0].item(), task.loss(0, 0)[1]))
    assert losses[0][1] == losses[1][1] > 100
    assert losses[0][0] == pytest.approx(losses[1][0], rel=1e-5)


def test_the_negatives_of_a_batch_are_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_of(folder, made_for("positions: every, negatives: {kind: in_batch, max_in_batch: 5}"))
    seen: list[Compared] = []

    def loss(compared: Compared) -> Tensor:
        seen.append(compared)
        return compared.query_ED.sum()

    monkeypatch.setattr(task, "compare", loss)
    for step in (0, 1, 0):
        task.loss(0, step)
    first, second, again = seen
    assert torch.equal(first.candidate_ND, again.candidate_ND), "the negatives of a step follow from its number"
    assert len(first.candidate_ND) == 5 < len(first.positive_ED)
    example, own = first.no_negative_2X
    assert torch.equal(first.candidate_ND[own], first.positive_ED[example])
    assert len(own) < len(first.positive_ED)
    assert not torch.equal(first.candidate_ND, second.candidate_ND), "the same negatives in every step"
    # Five of the batch's items are there: each with its chance to be in the batch, and then among the five.
    assert first.log_q_N is not None
    assert first.log_q_N.max() <= np.log(5 / 20)


def test_validation_asks_for_all_that_is_there_and_masks_what_was_seen(folder: Path) -> None:
    task = task_of(folder, made_for(evaluation="{mask_seen: true}"))
    task.model.eval()
    values = task.validate()
    queries, store = task.queries, task.prepared.store
    with torch.no_grad():
        inputs, vectors = task.catalogue()
        recall = []
        for q in range(len(queries)):
            one = task.prepared.encode(queries.take(np.array([q])))
            query = task.query(one, inputs[torch.from_numpy(one.history_BL)])
            scores = (query @ vectors.T)[0].numpy()
            scores[store.history_items[queries.start[q] : queries.end[q]]] = -np.inf
            scores[~store.available.at(queries.time[q]) | (np.asarray(store.popularity) == 0)] = -np.inf
            targets = queries.target_items[queries.target_offsets[q] : queries.target_offsets[q + 1]]
            recall.append(np.isin(np.argsort(-scores)[:10], targets).sum() / len(targets))
    assert values["recall_at_10"] == pytest.approx(np.mean(recall))
    unmasked = task_of(folder, made_for(evaluation="{mask_seen: false}"))
    unmasked.model.eval()
    assert unmasked.validate()["recall_at_10"] != values["recall_at_10"]


def test_the_unknown_row_learns(folder: Path) -> None:
    for share, learns in ((0.5, True), (0.0, False)):
        task = task_of(folder, made_for(f"id_dropout: {share}"))
        task.loss(0, 0)[0].backward()
        gradient = task.model.items.id.weight.grad
        assert gradient is not None
        # Padding reads row 0 too, but no state that counts does.
        assert bool((gradient[0] != 0).any()) == learns


def test_a_recipe_the_towers_cannot_be_built_from(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"retrieval.heads 3"):
        train_retrieval(made_for("encoder: transformer, heads: 3"), Prepared.open(folder), tmp_path)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.integers(0, 50)), max_size=4))
def test_unique_numbers_and_their_places(arrays: Sequence[Sequence[int]]) -> None:
    numbers = [np.array(one, np.int64) for one in arrays]
    unique = Unique(51)
    for _ in range(2):  # nothing of the first time is left
        found = unique.of(*numbers)
        assert found.tolist() == sorted({n for one in arrays for n in one})
        for one in numbers:
            assert (found[unique.places(found, one)] == one).all()


def test_items_that_nobody_had_are_found_by_their_attributes(tmp_path: Path) -> None:
    """Users like one genre. A fifth of the items is asked for in the end, but never seen in training."""
    rng = np.random.default_rng(3)
    genres, items, users = 6, 120, 200
    genre = rng.integers(genres, size=items)
    cold = np.arange(items) % 5 == 0
    events: dict[str, list[Any]] = {"user_id": [], "item_id": [], "time": []}
    for user in range(users):
        own = genre == user % genres
        seen = rng.choice(np.flatnonzero(own & ~cold), 8)
        new = rng.choice(np.flatnonzero(own & cold), 2)
        times = np.append(np.sort(rng.choice(80, 8, replace=False)), [85, 95])
        for item, time in zip(np.append(seen, new), times, strict=True):
            events["user_id"].append(user)
            events["item_id"].append(int(item))
            events["time"].append(int(time))
    events["time"][-1] = 99
    made = recipe(
        features="{history_length: 8, item: {id_dim: 16, categorical: [{name: genre, dim: 8}]}}",
        retrieval="{dim: 16, hidden: [], encoder: mean, loss: {kind: softmax, temperature: 0.1}, id_dropout: 0.3, "
        "training: {batch_size: 64, epochs: 6, learning_rate: 0.02, patience: 6, device: cpu}}",
    )
    described = {
        "item_id": list(range(items)),
        "available_from": [0] * items,  # long before anybody took them
        "genre": [f"genre {one}" for one in genre],
    }
    prepare(made, write_clean(tmp_path / "clean", events, items=described), tmp_path / "prepared")
    task = task_of(tmp_path / "prepared", made)
    assert not np.load(task.prepared.store.folder / "items/trained.npy")[1:][cold].any()
    result = train_retrieval(made, Prepared.open(tmp_path / "prepared"), tmp_path / "trained")
    task.model.load_state_dict(checkpoints.best_weights(tmp_path / "trained"))
    task.model.eval()
    with torch.no_grad():
        inputs, vectors = task.catalogue()
        encoded = task.prepared.encode(task.queries)
        scores = (task.query(encoded, inputs[torch.from_numpy(encoded.history_BL)]) @ vectors.T).numpy()
    rows = np.flatnonzero(np.append(False, cold))
    first = rows[scores[:, rows].argmax(1)] - 1
    user = task.prepared.store.users.values(task.queries.user)
    right = np.mean(genre[first] == np.array(user, np.int64) % genres)
    assert right > 0.9, "among cold items the best one is of the user's genre; by chance 1 in 6 would be"
    assert result.metrics["valid_recall_at_10"] > 0.3  # all that is asked is cold: popularity finds none
