"""Recent popularity: counted as the formula says, read where data is cut by time, and worth something there."""

import numpy as np
import pytest
from hand_made import item_vectors, recipe_of, write_index, write_prepared, write_retrieval
from hypothesis import given, settings
from hypothesis import strategies as st

from shortlist.dataset.prepared import Prepared
from shortlist.ranking.network.configure import ranker_config
from shortlist.ranking.network.inputs import ItemTables
from shortlist.ranking.training.batches import retrieve
from shortlist.ranking.training.candidate_task import CandidateTask
from shortlist.ranking.training.collect import collect_statistics
from shortlist.ranking.training.train_ranking import train_ranking
from shortlist.recommend.recommender import Recommender
from shortlist.statistics.recent_popularity import FILE, open_recent, recent_popularity

NUM_ITEMS, NUM_USERS = 60, 150
BY_TIME = {"kind": "temporal", "test": "400s", "valid": "400s"}
TRAINING = {"batch_size": 32, "epochs": 4, "learning_rate": 0.01, "threads": 1}


def recipe(split, **ranking):
    settings = {"candidates": 40, "negatives": 20, "neighbours": 0, "training": TRAINING}
    return recipe_of(ranking=settings | ranking, split=split)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**31), count=st.integers(0, 30))
def test_a_positive_counts_half_for_every_half_life_of_its_age(seed, count):
    rng = np.random.default_rng(seed)
    items, times = rng.integers(1, 6, count), rng.integers(0, 1000, count)
    expected = np.zeros((6, 2))
    for item, time in zip(items, times, strict=True):
        expected[item] += 0.5 ** ((max(times) - time) / np.array([10, 250]))
    np.testing.assert_allclose(recent_popularity(items, times, 6, [10, 250]), expected, rtol=1e-5, atol=1e-7)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Everybody will ask for what was taken last, which is no more popular over all time and no nearer to anybody."""
    folder = tmp_path_factory.mktemp("recent")
    rng = np.random.default_rng(0)
    by_time = rng.permutation(NUM_ITEMS) + 1
    late = by_time[-10:]
    histories = [rng.choice(by_time[:-10], 3, replace=False).tolist() for _ in range(NUM_USERS)]
    targets = [rng.choice(late, 3, replace=False).tolist() for _ in range(NUM_USERS)]
    # As time is the place in this list, an item's 20 takers come one after the other.
    trained = [(user, int(item)) for item in by_time for user in rng.integers(1, NUM_USERS + 1, 20)]
    write_prepared(folder / "prepared", histories, targets, NUM_ITEMS, trained=trained, popularity=[20] * NUM_ITEMS)
    vectors = item_vectors(NUM_ITEMS)
    write_retrieval(folder / "retrieval", vectors)
    write_index(folder / "index", vectors)
    return folder


def trained(folder, split, out):
    prepared = Prepared.open(folder / "prepared")
    return train_ranking(recipe(split), prepared, folder / "retrieval", folder / "index", out).metrics


def test_what_was_taken_of_late_is_learnt(folders, tmp_path):
    metrics = trained(folders, BY_TIME, tmp_path)
    assert metrics["kept"] == 1
    assert metrics["heldout_ndcg_at_10_ranked"] > metrics["heldout_ndcg_at_10_retrieved"] + 0.35
    assert np.load(tmp_path / FILE).shape == (NUM_ITEMS + 1, 2), "of late, and of all time"


def test_the_training_begins_with_the_best_straight_line_and_restarts_without(folders):
    prepared, made = Prepared.open(folders / "prepared"), recipe(BY_TIME)
    recommender = Recommender.open(made, prepared.store, folders / "retrieval", folders / "index", ranks=True)
    retrieved = retrieve(prepared, recommender, prepared.valid, label="retrieve")
    tables = ItemTables(folders / "retrieval", prepared.store, collect_statistics(made, prepared))
    network = ranker_config(made, prepared, tables, retrieved)
    task = CandidateTask(made, retrieved, tables, network, np.arange(0, len(retrieved.queries), 5))
    judged = task.evaluate_held_out()
    assert judged.ndcg().mean() > judged.ndcg_retrieved().mean() + 0.3
    task.restart()
    np.testing.assert_array_equal(task.evaluate_held_out().ndcg(), judged.ndcg_retrieved())


def test_where_each_user_has_an_end_of_their_own_there_is_none(folders, tmp_path):
    metrics = trained(folders, {"kind": "leave_one_out"}, tmp_path)
    assert metrics["heldout_ndcg_at_10_ranked"] < metrics["heldout_ndcg_at_10_retrieved"] + 0.2
    assert not (tmp_path / FILE).exists()


def test_half_lives_are_parts_of_the_validation_window(folders):
    prepared = Prepared.open(folders / "prepared")
    samples = prepared.samples
    expected = recent_popularity(samples.item[:], samples.time[:], NUM_ITEMS + 1, [100, 400, np.inf])
    np.testing.assert_array_equal(expected[:, -1], np.bincount(samples.item[:], minlength=NUM_ITEMS + 1))
    np.testing.assert_array_equal(collect_statistics(recipe(BY_TIME, recent=[0.25, 1.0]), prepared).recent_NR, expected)
    np.testing.assert_array_equal(collect_statistics(recipe(BY_TIME), prepared).recent_NR, expected[:, 1:])
    assert collect_statistics(recipe(BY_TIME, recent=[]), prepared).recent_NR is None
    assert collect_statistics(recipe(BY_TIME | {"valid": 0}), prepared).recent_NR is None, (
        "there is no window to measure by"
    )


def test_a_file_of_another_run_is_refused(tmp_path):
    np.save(tmp_path / FILE, np.zeros((5, 2), np.float32))
    assert open_recent(tmp_path, 2).shape == (5, 2)
    with pytest.raises(ValueError, match="reads 1 half-lives"):
        open_recent(tmp_path, 1)
    (tmp_path / FILE).write_bytes(b"nothing")
    with pytest.raises(ValueError, match="cannot be read"):
        open_recent(tmp_path, 2)
    (tmp_path / FILE).unlink()
    with pytest.raises(ValueError, match="cannot be read"):
        open_recent(tmp_path, 2)
