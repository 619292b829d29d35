"""Training of the ranker: what it learns from, that it learns, that it never makes a list worse."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hand_made import item_vectors, recipe_of, write_index, write_prepared, write_retrieval
from hypothesis import given
from hypothesis import strategies as st

from shortlist.dataset.prepared import Prepared
from shortlist.features import CategoricalField, FeatureSchema, FeatureStore
from shortlist.ranking.ranker import Ranker
from shortlist.ranking.training import held_out as held_out_module
from shortlist.ranking.training.batches import RankingBatches, retrieve
from shortlist.ranking.training.held_out import held_out
from shortlist.ranking.training.train_ranking import train_ranking
from shortlist.recommend.recommender import Recommender
from shortlist.retrieval.retrieve import Retriever

NUM_ITEMS, NUM_USERS, NUM_GENRES = 80, 150, 5
TRAINING = {"batch_size": 32, "epochs": 4, "learning_rate": 0.01, "threads": 1}


def genre_of(rows):
    return np.asarray(rows) % NUM_GENRES + 1


def planted(folder: Path, *, targets_by_genre: bool = True) -> tuple[Path, Path, Path]:
    """Users hear one genre and will go on with it, which the random vectors of retrieval cannot know."""
    rng = np.random.default_rng(0)
    histories, targets = [], []
    for user in range(NUM_USERS):
        rows = rng.permutation(np.arange(1, NUM_ITEMS + 1))
        mine = rows[genre_of(rows) == user % NUM_GENRES + 1]
        others = rows[genre_of(rows) != user % NUM_GENRES + 1]
        histories.append(mine[:5].tolist())
        targets.append((mine[5:8] if targets_by_genre else others[:3]).tolist())
    write_prepared(folder / "prepared", histories, targets, NUM_ITEMS, popularity=[1] * NUM_ITEMS)
    features = folder / "prepared/features"
    np.save(features / "items/genre.npy", np.append(0, genre_of(np.arange(1, NUM_ITEMS + 1))).astype(np.int32)[:, None])
    schema = FeatureSchema.model_validate_json((features / "schema.json").read_text())
    field = CategoricalField(name="genre", num_rows=NUM_GENRES + 1, dim=4)
    item = schema.item.model_copy(update={"categorical": [field]})
    (features / "schema.json").write_text(schema.model_copy(update={"item": item}).model_dump_json())
    vectors = item_vectors(NUM_ITEMS)
    write_retrieval(folder / "retrieval", vectors)
    write_index(folder / "index", vectors)
    return folder / "prepared", folder / "retrieval", folder / "index"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return planted(tmp_path_factory.mktemp("planted"))


def recipe(**ranking):
    training = TRAINING | ranking.pop("training", {})
    return recipe_of(ranking={"candidates": 60, "negatives": 20, "training": training} | ranking)


@pytest.fixture(scope="module")
def retrieved(folders):
    prepared = Prepared.open(folders[0])
    recommender = Recommender.open(recipe(), prepared.store, folders[1], folders[2], ranks=True)
    return retrieve(prepared, recommender, prepared.valid, label="retrieve")


@pytest.mark.parametrize(("loss", "embeddings"), [("listwise", False), ("binary", False), ("listwise", True)])
def test_a_pattern_that_retrieval_misses_is_learnt(folders, tmp_path, loss, embeddings):
    result = train_ranking(recipe(loss=loss, embeddings=embeddings), Prepared.open(folders[0]), *folders[1:], tmp_path)
    assert result.metrics["kept"] == 1
    assert result.metrics["heldout_ndcg_at_10_retrieved"] < 0.3
    assert result.metrics["heldout_ndcg_at_10_ranked"] > result.metrics["heldout_ndcg_at_10_retrieved"] + 0.3
    assert result.metrics["heldout_difference_low"] > 0
    assert len(result.details["curves"]["loss"]) == result.metrics["epochs"]


def test_only_readable_files_and_the_same_bytes_again(folders, tmp_path):
    few = recipe(training={"epochs": 2})
    train_ranking(few, Prepared.open(folders[0]), *folders[1:], tmp_path / "one")
    train_ranking(few, Prepared.open(folders[0]), *folders[1:], tmp_path / "two")
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == ["neighbour_rows.npy", "neighbour_weights.npy", "ranker.safetensors", "ranking.json"]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize(("ordered", "num_events"), [(True, 50), (False, 300)])
def test_without_an_order_all_events_are_compared(folders, tmp_path, ordered, num_events):
    made = recipe(training={"epochs": 1})
    features = made.features.model_copy(update={"history_length": 300})
    interactions = made.interactions.model_copy(update={"ordered": ordered})
    made = made.model_copy(update={"features": features, "interactions": interactions})
    train_ranking(made, Prepared.open(folders[0]), *folders[1:], tmp_path)
    network = json.loads((tmp_path / "ranking.json").read_text())["network"]
    assert (network["num_events"], network["ordered"]) == (num_events, ordered)
    assert len(np.load(tmp_path / "neighbour_rows.npy")) == (2 if ordered else 1)
    Ranker.open(tmp_path, folders[1], FeatureStore.open(folders[0] / "features"))


def test_what_is_saved_ranks_as_it_was_judged(folders, tmp_path, retrieved, monkeypatch):
    monkeypatch.setattr(held_out_module, "_FEW", NUM_USERS)
    result = train_ranking(recipe(), Prepared.open(folders[0]), *folders[1:], tmp_path)
    store = FeatureStore.open(folders[0] / "features")
    ranker = Ranker.open(tmp_path, folders[1], store)
    (at,) = held_out(retrieved.queries.user, recipe().seed)
    assert result.rows_out["heldout_queries"] == len(at) < NUM_USERS / 3
    scores = ranker.score(retrieved.request(at))
    assert ndcg_of(scores, retrieved.hits_QK[at]) == pytest.approx(
        result.metrics["heldout_ndcg_at_10_ranked"], abs=1e-6
    )
    assert scores.mean() == pytest.approx(retrieved.hits_QK[at].mean(), rel=0.1), "probabilities have the right mean"
    assert json.loads((tmp_path / "ranking.json").read_text())["metrics"]["kept"] == 1


def ndcg_of(scores, hits):
    """At 10, of three targets."""
    hits = np.take_along_axis(hits, np.argsort(-scores, axis=1, kind="stable"), axis=1)[:, :10]
    return ((hits / np.log2(np.arange(2, 12))).sum(axis=1) / (1 / np.log2(np.arange(2, 5))).sum()).mean()


def test_of_few_queries_all_judge_and_all_teach(folders, tmp_path, retrieved):
    result = train_ranking(recipe(), Prepared.open(folders[0]), *folders[1:], tmp_path)
    assert result.rows_out["heldout_queries"] == NUM_USERS
    assert result.rows_out["examples"] == retrieved.hits_QK.sum()
    told = result.details["curves"]["ndcg_at_10"]
    assert result.metrics["best_epoch"] == 1 + np.argmax(told)
    assert max(told) == pytest.approx(result.metrics["heldout_ndcg_at_10_ranked"])
    ranker = Ranker.open(tmp_path, folders[1], FeatureStore.open(folders[0] / "features"))
    everything = np.arange(NUM_USERS)
    assert ndcg_of(ranker.score(retrieved.request(everything)), retrieved.hits_QK) > max(told), "it learnt from them"


def test_nobody_judges_what_it_learnt_from(tmp_path):
    """Targets drawn at random, which embeddings of many numbers can learn by heart, and nothing else can."""
    prepared, retrieval, index = (tmp_path / "data" / name for name in ("prepared", "retrieval", "index"))
    planted(tmp_path / "data")
    lots = np.random.default_rng(5).permuted(np.tile(np.arange(1, NUM_ITEMS + 1), (NUM_USERS, 1)), axis=1)
    np.save(prepared / "queries/valid/target_items.npy", lots[:, :3].ravel().astype(np.int32))
    by_heart = recipe(embeddings=True, training={"epochs": 30, "patience": 30})
    result = train_ranking(by_heart, Prepared.open(prepared), retrieval, index, tmp_path / "out")
    loss = result.details["curves"]["loss"]
    assert loss[-1] < loss[0] - 0.5, "it learnt them"
    assert result.metrics["heldout_ndcg_at_10_ranked"] < result.metrics["heldout_ndcg_at_10_retrieved"] + 0.03


def test_a_ranker_that_is_worse_than_retrieval_is_not_kept(folders, tmp_path, monkeypatch):
    """A learning rate that ruins the network; the list must stay what retrieval says."""
    ruinous = recipe(training={"epochs": 1, "learning_rate": 30.0, "clip_norm": None}, candidates=60)
    prepared, retrieval, index = (tmp_path / "data" / name for name in ("prepared", "retrieval", "index"))
    planted(tmp_path / "data")
    # Targets are what retrieval puts first: nothing can be better.
    opened = Prepared.open(prepared)
    retriever = Retriever.open(retrieval, index, opened.store)
    seen = [opened.store.history_items[s:e] for s, e in zip(opened.valid.start, opened.valid.end, strict=True)]
    first, _ = retriever.search(retriever.embed(opened.encode(opened.valid)), 3, [s.astype(np.int64) for s in seen])
    np.save(prepared / "queries/valid/target_items.npy", first.ravel().astype(np.int32))
    result = train_ranking(ruinous, Prepared.open(prepared), retrieval, index, tmp_path / "out")
    assert result.metrics["heldout_ndcg_at_10_retrieved"] == 1
    assert result.metrics["heldout_ndcg_at_10_ranked"] < 1
    assert result.metrics["kept"] == 0
    assert result.details["kept"] == "the order of retrieval"
    recommender = Recommender.open(recipe(candidates=20), opened.store, retrieval, index, ranks=True)
    asked = retrieve(opened, recommender, opened.valid, label="retrieve").request(np.arange(4))
    scores = Ranker.open(tmp_path / "out", retrieval, opened.store).score(asked)
    assert (np.diff(scores, axis=1) < 0).all()


def test_without_a_retrieved_positive_the_order_of_retrieval_is_kept(tmp_path):
    prepared, retrieval, index = planted(tmp_path / "data")
    count = len(np.load(prepared / "queries/valid/target_items.npy"))
    np.save(prepared / "queries/valid/target_items.npy", np.zeros(count, np.int32))
    result = train_ranking(recipe(), Prepared.open(prepared), retrieval, index, tmp_path / "out")
    assert result.metrics["kept"] == 0
    assert result.rows_out["examples"] == 0
    Ranker.open(tmp_path / "out", retrieval, FeatureStore.open(prepared / "features"))


def test_ranking_that_is_off_leaves_an_empty_folder(folders, tmp_path):
    result = train_ranking(recipe(enabled=False), Prepared.open(folders[0]), *folders[1:], tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    assert result.details == {"enabled": False}


def test_batches_hold_a_retrieved_positive_and_negatives_of_its_query(retrieved):
    at = np.arange(0, NUM_USERS, 2)
    batches = RankingBatches(retrieved, at, negatives=20, batch_size=16, seed=1)
    shown = []
    share_Q = np.zeros(NUM_USERS)
    for step in range(batches.num_batches()):
        request, (share_EK,) = batches.batch(0, step)
        again, _ = batches.batch(0, step)
        assert (share_EK[:, 0] > 0).all()
        assert not share_EK[:, 1:].any()
        np.testing.assert_array_equal(request.candidates_EK, again.candidates_EK)
        for e, user in enumerate(request.user_E):
            query = int(np.flatnonzero(retrieved.queries.user == user)[0])
            assert query % 2 == 0
            mine = retrieved.queries.take(np.array([query]))
            share_Q[query] += share_EK[e].sum()
            candidates = request.candidates_EK[e]
            assert candidates[0] in mine.target_items
            assert not np.isin(candidates[1:], mine.target_items).any()
            assert len(set(candidates.tolist())) == 21, "every negative once"
            seen = retrieved.prepared.store.history_items[mine.start[0] : mine.end[0]]
            assert not np.isin(candidates, seen).any()
            at_K = {row: i for i, row in enumerate(retrieved.rows_QK[query].tolist())}
            expected = [retrieved.scores_QK[query, at_K[row]] for row in candidates.tolist()]
            np.testing.assert_array_equal(request.retrieval_scores_EK[e], expected)
            shown.append((query, int(candidates[0])))
    assert len(shown) == len(set(shown)) == len(batches) == retrieved.hits_QK[at].sum()
    answered = np.isin(np.arange(NUM_USERS), at) & retrieved.hits_QK.any(axis=1)
    np.testing.assert_allclose(share_Q, answered, rtol=1e-6, err_msg="every query counts alike")
    first = batches.batch(0, 0)[0].candidates_EK
    assert not np.array_equal(first, batches.batch(1, 0)[0].candidates_EK), "another epoch, another order"


def test_too_few_negatives_are_padded(retrieved):
    short = dataclasses.replace(
        retrieved,
        rows_QK=np.where(np.arange(60) < 10, retrieved.rows_QK, 0),
        hits_QK=retrieved.hits_QK & (np.arange(60) < 10),
    )
    request, _ = RankingBatches(short, np.arange(NUM_USERS), negatives=20, batch_size=8, seed=1).batch(0, 0)
    assert request.candidates_EK.shape == (8, 21)
    assert (request.candidates_EK[:, 0] > 0).all()
    number = (request.candidates_EK > 0).sum(axis=1)
    assert (number <= 10).all()
    assert all((row[:n] > 0).all() for row, n in zip(request.candidates_EK, number, strict=True))


def test_whole_lists_are_all_candidates_of_queries_with_a_positive(retrieved):
    batches = RankingBatches(retrieved, np.arange(NUM_USERS), negatives=None, batch_size=8, seed=1)
    assert len(batches) == retrieved.hits_QK.any(axis=1).sum()
    request, (share_EK,) = batches.batch(0, 0)
    np.testing.assert_allclose(share_EK.sum(axis=1), 1, rtol=1e-6)
    for e, user in enumerate(request.user_E):
        query = int(np.flatnonzero(retrieved.queries.user == user)[0])
        np.testing.assert_array_equal(request.candidates_EK[e], retrieved.rows_QK[query])
        np.testing.assert_array_equal(share_EK[e] > 0, retrieved.hits_QK[query])


def test_with_labels_the_others_may_be_targets_and_share_the_weight(retrieved):
    liked = retrieved.hits_QK & (retrieved.rows_QK % 2 == 0)
    labelled = dataclasses.replace(retrieved, label_hits={"liked": liked})
    batches = RankingBatches(labelled, np.arange(NUM_USERS), negatives=20, batch_size=16, seed=1)
    assert len(batches) == retrieved.hits_QK.sum(), "liked items are positives here"
    share_OQ, beside_a_play = np.zeros((2, NUM_USERS)), False
    for step in range(batches.num_batches()):
        request, share_OEK = batches.batch(0, step)
        assert share_OEK.shape == (2, *request.candidates_EK.shape)
        for e, user in enumerate(request.user_E):
            query = int(np.flatnonzero(retrieved.queries.user == user)[0])
            for o, hits_QK in enumerate((retrieved.hits_QK, liked)):
                targets = retrieved.rows_QK[query][hits_QK[query]]
                np.testing.assert_array_equal(share_OEK[o, e] > 0, np.isin(request.candidates_EK[e], targets))
                share_OQ[o, query] += share_OEK[o, e].sum()
            beside_a_play |= bool(
                (share_OEK[1, e] > 0).any() and ((share_OEK[0, e] > 0) & (share_OEK[1, e] == 0)).any()
            )
            assert share_OEK[0, e, 0] > 0, "the one that the example is about"
    np.testing.assert_allclose(share_OQ[0], retrieved.hits_QK.any(axis=1), rtol=1e-5)
    assert (share_OQ[1] <= 1 + 1e-5).all()
    assert ((share_OQ[1] > 0) == liked.any(axis=1)).all()
    assert beside_a_play, "what is liked is told apart from what is only played"


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(0, 2**40))
def test_every_query_is_held_out_once_and_users_stay_together(users, seed):
    users = np.array(users, np.int64)
    folds = held_out(users, seed)
    assert sorted(np.concatenate(folds).tolist()) == list(range(len(users)))
    of_fold = [set(users[fold].tolist()) for fold in folds]
    assert sum(map(len, of_fold)) == len(set(users.tolist()))


def test_of_many_queries_a_fifth_is_held_out_by_the_seed():
    users = np.arange(1, 10_001)
    (found,) = held_out(users, 1)
    assert len(found) == pytest.approx(2_000, abs=200)
    (part,) = held_out(users[::3], 1)
    np.testing.assert_array_equal(users[::3][part], np.intersect1d(users[found], users[::3]))
    assert not np.array_equal(found, held_out(users, 2)[0])
    assert len(held_out(np.arange(1, 100_001), 1)[0]) == 4_000


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_it_learns_on_a_gpu(folders, tmp_path):
    result = train_ranking(recipe(training={"device": "cuda"}), Prepared.open(folders[0]), *folders[1:], tmp_path)
    assert result.metrics["heldout_difference_low"] > 0
