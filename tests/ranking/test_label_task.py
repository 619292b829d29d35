"""Learning from labels: who likes what in which situation, and nothing of retrieval."""

import dataclasses
from itertools import product

import numpy as np
import pytest
from hand_made import item_vectors, recipe_of, write_index, write_prepared, write_retrieval
from hypothesis import given, settings
from hypothesis import strategies as st

from shortlist.dataset.prepared import Prepared
from shortlist.dataset.split import TEST, TRAIN, VALID
from shortlist.features import FeatureStore
from shortlist.ranking.ranker import Ranker
from shortlist.ranking.training.label_task import Labelled, auc
from shortlist.ranking.training.train_ranking import train_ranking

NUM_ITEMS, NUM_USERS = 8, 30


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=20))
def test_auc_counts_pairs(events):
    scores, labels = np.array([score for score, _ in events], np.float32), np.array([label for _, label in events])
    pairs = list(product(scores[labels], scores[~labels]))
    expected = np.mean([(a > b) + 0.5 * (a == b) for a, b in pairs]) if pairs else 0.5
    assert auc(scores, labels) == pytest.approx(expected)


def labelled(folder, *, by_chance: bool = False):
    """Odd hours like odd items, even hours even ones: neither the item nor the hour alone tells anything."""
    rng = np.random.default_rng(0)
    count = 1_200
    trained = sorted(zip(rng.integers(1, NUM_USERS + 1, count), rng.integers(1, NUM_ITEMS + 1, count), strict=True))
    histories = [[1, 2]] * NUM_USERS
    counts = [count // NUM_ITEMS] * NUM_ITEMS
    write_prepared(folder / "prepared", histories, [[3]] * NUM_USERS, NUM_ITEMS, trained=trained, popularity=counts)
    samples = folder / "prepared/samples"
    hour = rng.integers(1, 3, count)
    item = np.array([row for _, row in trained])
    label = rng.random(count) < 0.5 if by_chance else (item + hour) % 2 == 0
    np.save(samples / "context/clock.hour.npy", hour.astype(np.int32)[:, None])
    np.save(samples / "label.npy", label)
    np.save(samples / "part.npy", rng.choice([TRAIN, VALID, TEST], count, p=[0.6, 0.2, 0.2]).astype(np.int8))
    vectors = item_vectors(NUM_ITEMS)
    write_retrieval(folder / "retrieval", vectors)
    write_index(folder / "index", vectors)
    return folder / "prepared", folder / "retrieval", folder / "index"


def recipe(**ranking):
    training = {"batch_size": 32, "epochs": 6, "learning_rate": 0.03, "threads": 1}
    return recipe_of(ranking={"learn_from": "labels", "embeddings": True, "training": training} | ranking)


def test_it_learns_a_crossing_of_item_and_context_and_serves_it(tmp_path):
    folders = labelled(tmp_path)
    result = train_ranking(recipe(), Prepared.open(folders[0]), *folders[1:], tmp_path / "ranking")
    assert result.metrics["heldout_auc"] > 0.95
    assert result.metrics["kept"] == 1
    prepared = Prepared.open(folders[0])
    ranker = Ranker.open(tmp_path / "ranking", folders[1], FeatureStore.open(folders[0] / "features"))
    asked = Labelled.of(prepared, TEST, 10_000, 0)
    request = asked.request(np.arange(len(asked.at_n)), ranker.model.config.vector_dim)
    scores = ranker.score(request)[:, 0]
    assert auc(scores, asked.labels) > 0.95
    assert scores.mean() == pytest.approx(asked.labels.mean(), abs=0.1), "the scores are probabilities"
    retrieved = dataclasses.replace(request, retrieval_scores_EK=request.retrieval_scores_EK + 3)
    np.testing.assert_array_equal(ranker.score(retrieved)[:, 0], scores)


def test_labels_that_nothing_tells_keep_the_order_of_retrieval(tmp_path):
    """Where no event is held out to judge by, what was learnt is not served."""
    folders = labelled(tmp_path, by_chance=True)
    part = np.load(folders[0] / "samples/part.npy")
    np.save(folders[0] / "samples/part.npy", np.where(part == VALID, TEST, part))
    result = train_ranking(recipe(), Prepared.open(folders[0]), *folders[1:], tmp_path / "ranking")
    assert result.metrics["kept"] == 0
    ranker = Ranker.open(tmp_path / "ranking", folders[1], FeatureStore.open(folders[0] / "features"))
    asked = Labelled.of(Prepared.open(folders[0]), TEST, 50, 0)
    scores = ranker.score(asked.request(np.arange(50), ranker.model.config.vector_dim))
    assert len(np.unique(scores)) == 1, "a stable sort leaves equal scores as retrieval had them"


def test_labelled_events_are_those_of_the_part(tmp_path):
    prepared = Prepared.open(labelled(tmp_path)[0])
    events = Labelled.of(prepared, TRAIN, 100, 0)
    assert len(events.at_n) == 100
    assert (prepared.samples.part[events.at_n] == TRAIN).all()
    request = events.request(np.array([3, 5]), 8)
    np.testing.assert_array_equal(request.candidates_EK[:, 0], prepared.samples.item[events.at_n[[3, 5]]])
    np.testing.assert_array_equal(
        request.categorical["clock.hour"], prepared.samples.context.categorical["clock.hour"][events.at_n[[3, 5]]]
    )
