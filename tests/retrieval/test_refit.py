"""After a refit: what is served knows the validation window, what the ranker learns from does not."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clean_tables import recipe, write_clean

from shortlist.dataset.prepare import prepare
from shortlist.dataset.prepared import Prepared
from shortlist.dataset.split import TEST, VALID
from shortlist.ranking.training.collect import collect_statistics
from shortlist.ranking.training.train_ranking import train_ranking
from shortlist.recipe import Recipe
from shortlist.release.manifest import file_names
from shortlist.retrieval.build_index import build_indexes
from shortlist.retrieval.export import export_all
from shortlist.retrieval.refit import for_ranker
from shortlist.retrieval.task import RetrievalTask
from shortlist.retrieval.train_retrieval import train_retrieval
from shortlist.statistics.item_statistics import ItemStatistics
from shortlist.training import checkpoints

ITEMS, LATE = 30, 30


def made_for(epochs: int) -> Recipe:
    return recipe(
        features="{history_length: 6, item: {id_dim: 16}, user: {id_dim: 4}}",
        retrieval="{dim: 16, hidden: [], positions: every, encoder: transformer, "
        "loss: {kind: softmax, temperature: 0.1}, "
        f"training: {{batch_size: 8, epochs: 4, learning_rate: 0.02, device: cpu}}, refit: {{epochs: {epochs}, "
        "learning_rate: 0.5}}",
        ranking="{enabled: true, candidates: 10, negatives: 4, training: {epochs: 1, batch_size: 8, device: cpu}}",
        evaluation="{mask_seen: false}",
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """After item i comes item i + 1; a late item is met in the validation window for the first time."""
    rng = np.random.default_rng(0)
    events: dict[str, list[Any]] = {"user_id": [], "item_id": [], "time": []}
    for user in range(60):
        item, steps = int(rng.integers(ITEMS)), np.sort(rng.choice(100, 20, replace=False))
        for time in steps:
            item = (item + 1) % ITEMS
            late = 80 <= time < 90 and user % 2 == 0
            events["user_id"].append(user)
            events["item_id"].append(LATE if late else item)
            events["time"].append(int(time))
    events["user_id"].append(0)
    events["item_id"].append(1)
    events["time"].append(99)
    made = tmp_path_factory.mktemp("refit")
    # The late items were there all the time, so that the validation asks for them.
    ids = sorted(set(events["item_id"]))
    items = {"item_id": ids, "available_from": [0] * len(ids)}
    prepare(made_for(0), write_clean(made / "clean", events, items), made / "prepared")
    prepared = Prepared.open(made / "prepared")
    for epochs in (0, 3):
        run = made / str(epochs)
        train_retrieval(made_for(epochs), prepared, run / "towers")
        retrieval, index = ((run / name, run / f"{name}_before_refit") for name in ("retrieval", "index"))
        export_all(made_for(epochs), prepared, run / "towers", *retrieval)
        build_indexes(made_for(epochs), prepared, *retrieval, *index)
    return made


def test_before_it_the_towers_are_those_without_one(folder: Path) -> None:
    for name in file_names(folder / "0/retrieval"):
        plain = (folder / "0/retrieval" / name).read_bytes()
        assert plain == (folder / "3/retrieval_before_refit" / name).read_bytes(), name
        if name.endswith(".npy"):
            assert plain != (folder / "3/retrieval" / name).read_bytes(), name


def test_without_one_there_is_one_pair_of_towers(folder: Path) -> None:
    for name in ("retrieval", "index"):
        served, before = folder / "0" / name, folder / f"0/{name}_before_refit"
        assert list(before.iterdir()) == []
        assert for_ranker(made_for(0), served=served, before_refit=before) == served
        assert for_ranker(made_for(3), served=served, before_refit=before) == before


def test_it_learns_from_validation_and_never_from_the_test(folder: Path) -> None:
    prepared = Prepared.open(folder / "prepared")
    without = RetrievalTask(made_for(0), prepared)
    task = RetrievalTask(made_for(3), prepared, refit_of=without.model)
    parts = prepared.samples.part[task.batches.examples]
    assert (parts == VALID).any()
    assert not (parts == TEST).any()
    assert len(parts) > len(without.batches.examples)


def test_an_item_first_met_in_the_validation_begins_as_the_unknown_and_gets_a_vector_of_its_own(folder: Path) -> None:
    prepared = Prepared.open(folder / "prepared")
    late = int(prepared.store.items.rows(np.array([LATE]))[0])
    best = RetrievalTask(made_for(0), prepared)
    start = RetrievalTask(made_for(3), prepared, refit_of=best.model).model.items.id.weight
    assert torch.equal(start[late], start[0])
    before, after = (np.load(folder / f"3/{name}/item_inputs.npy") for name in ("retrieval_before_refit", "retrieval"))
    assert np.array_equal(before[late], before[0])
    assert np.linalg.norm(after[late] - after[0]) > 0.05


def test_the_answers_of_the_validation_are_nearer_after_it(folder: Path) -> None:
    prepared = Prepared.open(folder / "prepared")
    ranks = []
    for run, name in (("0", "towers"), ("3", "towers/refit")):
        task = RetrievalTask(made_for(0), prepared)
        if name != "towers":
            task = RetrievalTask(made_for(3), prepared, refit_of=task.model)
            task.metric = "ndcg_at_10"
        task.model.load_state_dict(checkpoints.best_weights(folder / run / name))
        task.model.eval()
        with torch.no_grad():
            ranks.append(task.validate()["ndcg_at_10"])
    assert ranks[1] > ranks[0] + 0.05


def test_the_ranker_learns_from_towers_that_did_not_see_its_answers(folder: Path, tmp_path: Path) -> None:
    run, prepared = folder / "3", Prepared.open(folder / "prepared")
    towers = run / "retrieval_before_refit", run / "index_before_refit"
    result = train_ranking(made_for(3), prepared, *towers, tmp_path / "refit")
    plain = train_ranking(made_for(0), prepared, folder / "0/retrieval", folder / "0/index", tmp_path / "plain")
    for name in ("recall_at_10", "heldout_ndcg_at_10_ranked"):
        assert result.metrics[name] == plain.metrics[name]


@pytest.mark.parametrize("epochs", [0, 3])
def test_what_is_counted_for_serving_knows_the_validation_window(folder: Path, tmp_path: Path, epochs: int) -> None:
    prepared, run = Prepared.open(folder / "prepared"), folder / str(epochs)
    late = int(np.flatnonzero(np.asarray(prepared.store.popularity)[1:] == 0)[0]) + 1
    learnt = collect_statistics(made_for(epochs), prepared)
    assert learnt.neighbours is not None
    assert learnt.recent_NR is not None
    assert not (learnt.neighbours.rows_TNn == late).any(), "no train event has it"
    assert (learnt.recent_NR[late] == 0).all()
    towers = [
        for_ranker(made_for(epochs), served=run / name, before_refit=run / f"{name}_before_refit")
        for name in ("retrieval", "index")
    ]
    train_ranking(made_for(epochs), prepared, *towers, tmp_path)
    served = ItemStatistics.open(tmp_path, num_tables=2, user_knn=False, half_lives=2)
    assert served.neighbours is not None
    assert served.recent_NR is not None
    assert served.neighbours.rows_TNn[:, late].any()
    assert (served.neighbours.rows_TNn == late).any()
    assert served.recent_NR[late, 0] == served.recent_NR[:, 0].max(), "nothing was taken as much in the last days"
    assert served.recent_NR[late, 1] > 0


def test_a_release_takes_the_served_ones_alone(folder: Path) -> None:
    for part in ("retrieval", "index"):
        assert file_names(folder / "3" / part) == file_names(folder / "0" / part)


def test_a_refit_that_was_done_is_not_done_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train_retrieval(made_for(3), Prepared.open(folder / "prepared"), folder / "3/towers")
    assert "dry run" not in capsys.readouterr().out


def test_a_refit_of_a_training_that_had_none_goes_on_from_it(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(folder / "0/towers", tmp_path / "towers")
    train_retrieval(made_for(3), Prepared.open(folder / "prepared"), tmp_path / "towers")
    said = capsys.readouterr().out
    assert "refit retrieval: dry run" in said
    assert "train retrieval: dry run" not in said
    for name in ("towers", "towers/refit"):
        made, same = (checkpoints.read(run / name, "last") for run in (tmp_path, folder / "3"))
        assert made is not None
        assert same is not None
        assert all(torch.equal(made.weights[key], weight) for key, weight in same.weights.items())
