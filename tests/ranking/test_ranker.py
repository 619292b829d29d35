"""The ranker: its formula, its features, and that it scores a question the same in any company."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from shortlist.features import CategoricalField, FeatureSchema, FeatureStore, NumericField, TableSchema
from shortlist.ranking.alike import Alike
from shortlist.ranking.counted import Counted
from shortlist.ranking.crossnet import CrossLayer, CrossNetwork
from shortlist.ranking.features import InputReader, ItemTables, RankerConfig, event_weights, key_shares
from shortlist.ranking.model import RankingModel
from shortlist.ranking.neighbours import Neighbours
from shortlist.ranking.ranker import Calibration, Ranker, shapes_of
from shortlist.ranking.request import RankingRequest
from shortlist.vocabulary import Vocabulary

NUM_ROWS, NUM_USERS, DIM = 41, 7, 8


def test_cross_layer_is_equation_1():
    layer = CrossLayer(3, rank=0)
    x0, x = torch.tensor([1.0, 2.0, -1.0]), torch.tensor([0.5, -1.0, 3.0])
    weight, bias = torch.tensor([[1.0, 0, 2], [0, -1, 1], [3, 1, 0]]), torch.tensor([0.1, 0.2, 0.3])
    with torch.no_grad():
        layer.cross.weight.copy_(weight)
        layer.cross.bias.copy_(bias)
        # W x = [6.5, 4, 0.5]
        by_hand = torch.tensor([1 * 6.6 + 0.5, 2 * 4.2 - 1.0, -1 * 0.8 + 3.0])
        torch.testing.assert_close(layer(x0, x), by_hand)


def test_low_rank_is_full_when_the_product_is():
    low, full = CrossLayer(6, rank=2), CrossLayer(6, rank=0)
    with torch.no_grad():
        full.cross.weight.copy_(low.cross.weight @ low.reduce.weight)
        full.cross.bias.copy_(torch.randn(6))
        low.cross.bias.copy_(full.cross.bias)
        x0, x = torch.randn(4, 5, 6), torch.randn(4, 5, 6)
        torch.testing.assert_close(low(x0, x), full(x0, x))
    assert sum(weight.numel() for weight in low.parameters()) < sum(weight.numel() for weight in full.parameters())


def test_every_layer_of_the_network_crosses_with_its_input():
    network = CrossNetwork(4, num_layers=2, rank=3)
    x0 = torch.randn(4)
    first, second = network.layers
    torch.testing.assert_close(network(x0), second(x0, first(x0, x0)))


def make_store(folder: Path, **changes) -> FeatureStore:
    """Items with an artist, up to three genres and a number; users with a town; the hour."""
    rng = np.random.default_rng(0)
    artist = CategoricalField(name="artist", num_rows=6, dim=4)
    genres = CategoricalField(name="genres", num_rows=5, dim=4, max_values=3)
    schema = FeatureSchema(
        num_item_rows=NUM_ROWS,
        num_user_rows=NUM_USERS,
        history_length=5,
        item=TableSchema(categorical=[genres, artist], numeric=[NumericField(name="length", mean=0.0, std=1.0)]),
        user=TableSchema(categorical=[CategoricalField(name="town", num_rows=4, dim=4)]),
        context=TableSchema(numeric=[NumericField(name="age", mean=0.0, std=1.0)]),
        clock=["hour"],
    ).model_copy(update=changes)
    for name in ("vocabularies", "items", "users", "history"):
        (folder / name).mkdir(parents=True)
    (folder / "schema.json").write_text(schema.model_dump_json())
    Vocabulary(np.arange(schema.num_item_rows - 1)).save(folder / "vocabularies/item.npy")
    Vocabulary(np.arange(NUM_USERS - 1)).save(folder / "vocabularies/user.npy")
    Vocabulary(np.arange(3)).save(folder / "vocabularies/user.town.npy")
    arrays = {
        "items/artist": rng.integers(0, 6, (NUM_ROWS, 1), np.int32),
        "items/genres": rng.integers(0, 5, (NUM_ROWS, 3), np.int32),
        "items/numeric": rng.normal(size=(NUM_ROWS, 2)).astype(np.float32),
        "items/popularity": np.where(np.arange(NUM_ROWS) % 5 == 0, 0, rng.integers(1, 99, NUM_ROWS)),
        "items/popular": np.zeros(NUM_ROWS, np.float32),
        "items/titles": np.zeros(0, np.uint8),
        "items/title_offsets": np.zeros(NUM_ROWS + 1, np.int64),
        "users/town": np.zeros((NUM_USERS, 1), np.int32),
        "users/numeric": np.zeros((NUM_USERS, 0), np.float32),
        "history/offsets": np.zeros(NUM_USERS + 1, np.int64),
        "history/items": np.zeros(0, np.int32),
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    np.save(folder / "vectors.npy", rng.normal(size=(NUM_ROWS - 1, DIM)).astype(np.float32))
    return FeatureStore.open(folder)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("store") / "features")


def neighbours_of(store: FeatureStore, tables: int = 2) -> Neighbours:
    rng = np.random.default_rng(1)
    rows = rng.integers(0, NUM_ROWS, (tables, NUM_ROWS, 4)).astype(np.int32)
    return Neighbours(rows, rng.random(rows.shape, np.float32) * (rows > 0))


def tables_of(store: FeatureStore, tables: int = 0) -> ItemTables:
    rng = np.random.default_rng(2)
    recent_NR = rng.gamma(1.0, 5.0, (NUM_ROWS, 2)).astype(np.float32)
    alike = Alike.of(rng.integers(1, 9, 60), rng.integers(1, NUM_ROWS, 60), NUM_ROWS)
    neighbours = neighbours_of(store, tables) if tables else None
    return ItemTables(store.folder, store, Counted(neighbours, alike if tables == 1 else None, recent_NR))


VARIANTS = {
    "low rank": {},
    "full rank": {"low_rank": 0},
    "mixture": {"num_experts": 3},
    "attention": {"attention": True},
    "attention, no embeddings": {"attention": True, "embeddings": False},
    "neighbours": {"neighbours": 4, "near_scale": [0.5] * 6},
    "neighbours, no order": {"neighbours": 4, "near_scale": [0.5] * 4, "ordered": False},
    "recent": {"recent_mean": [1.0, 2.0], "recent_std": [0.5, 1.0]},
    "all": {
        "attention": True,
        "num_experts": 2,
        "neighbours": 4,
        "near_scale": [0.5] * 6,
        "recent_mean": [1.0, 2.0],
        "recent_std": [0.5, 1.0],
    },
    "without retrieval": {"retrieval": False},
}
"""Every contract test passes over them."""


def config_of(store: FeatureStore, **changes) -> RankerConfig:
    shapes = shapes_of(store, ItemTables(store.folder, store), users=changes.pop("users", True))
    settings = {"embeddings": True, "cross_layers": 2, "low_rank": 4, "hidden": [8], "dropout": 0.1} | changes
    return RankerConfig(**shapes, **settings)


def make_ranker(store: FeatureStore, *, trained: bool = True, **changes) -> Ranker:
    """`trained` gives every weight a value; otherwise the network is as it starts."""
    torch.manual_seed(0)
    config = config_of(store, **changes)
    model = RankingModel(config, tables_of(store, config.num_tables))
    if trained:
        for weight in model.parameters():
            torch.nn.init.normal_(weight, std=0.3)
        for table in (model.values, model.users, model.query_values):
            if table is not None:
                table.weight.data[0] = 0
    return Ranker(model, Calibration(slope=0.7, intercept=-1.0))


def make_request(questions=3, candidates=6, seed=0, length=5) -> RankingRequest:
    rng = np.random.default_rng(seed)
    length_E = rng.integers(0, length + 1, questions)
    history = rng.integers(1, NUM_ROWS, (questions, length)) * (np.arange(length) < length_E[:, None])
    rows = rng.integers(1, NUM_ROWS, (questions, candidates))
    padded = np.arange(candidates) >= rng.integers(1, candidates + 1, questions)[:, None]
    return RankingRequest(
        history_EL=history,
        length_E=length_E,
        user_E=rng.integers(0, NUM_USERS, questions),
        categorical={
            "user.town": rng.integers(0, 4, (questions, 1)),
            "clock.hour": rng.integers(0, 25, (questions, 1)),
        },
        numeric_EF=rng.normal(size=(questions, 2)).astype(np.float32),
        query_vector_ED=rng.normal(size=(questions, DIM)).astype(np.float32),
        candidates_EK=np.where(padded, 0, rows),
        retrieval_scores_EK=np.where(padded, -np.inf, rng.normal(size=rows.shape)).astype(np.float32),
    )


def one_of(request: RankingRequest, e: int) -> RankingRequest:
    arrays = {name: array[e : e + 1] for name, array in vars(request).items() if name != "categorical"}
    return RankingRequest(**arrays, categorical={name: rows[e : e + 1] for name, rows in request.categorical.items()})


@settings(deadline=None, max_examples=30)
@given(
    questions=st.integers(1, 6),
    candidates=st.integers(1, 12),
    seed=st.integers(0, 2**31),
    users=st.booleans(),
    variant=st.sampled_from(sorted(VARIANTS)),
)
def test_a_batch_scores_as_its_questions_one_by_one(store, questions, candidates, seed, users, variant):
    ranker = make_ranker(store, users=users, **VARIANTS[variant])
    request = make_request(questions, candidates, seed)
    together = ranker.score(request)
    assert together.shape == (questions, candidates)
    assert together.dtype == np.float32
    assert np.isfinite(together).all()
    singles = [one_of(request, e) for e in range(questions)]
    np.testing.assert_allclose(np.concatenate([ranker.score(one) for one in singles]), together, atol=1e-5)
    np.testing.assert_allclose(ranker.score(RankingRequest.stack(singles)), together, atol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_order_of_the_candidates_does_not_matter(store, variant):
    ranker, request = make_ranker(store, **VARIANTS[variant]), make_request(questions=2, candidates=6)
    order = np.random.default_rng(3).permutation(6)
    turned = replace(
        request,
        candidates_EK=request.candidates_EK[:, order],
        retrieval_scores_EK=request.retrieval_scores_EK[:, order],
    )
    np.testing.assert_allclose(ranker.score(turned), ranker.score(request)[:, order], atol=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_comes_in_bytes_to_a_saved_ranker_scores_as_trained(store, tmp_path, variant):
    ranker, request = make_ranker(store, **VARIANTS[variant]), make_request(questions=3)
    ranker.save(tmp_path, {})
    served = Ranker.open(tmp_path, store.folder, store)
    received, _ = RankingRequest.from_bytes(request.to_bytes("r"))
    np.testing.assert_allclose(served.score(received), ranker.score(request), atol=1e-6)


@pytest.mark.parametrize("variant", ["attention", "neighbours"])
def test_the_history_and_its_order_matter(store, variant):
    ranker = make_ranker(store, **VARIANTS[variant])
    request = replace(make_request(questions=1), history_EL=np.array([[1, 2, 3, 4, 6]]), length_E=np.array([5]))
    turned = replace(request, history_EL=np.array([[6, 4, 3, 2, 1]]))
    assert np.abs(ranker.logits(request) - ranker.logits(turned)).max() > 1e-3


def test_what_was_popular_of_late_counts_in_a_straight_line(store):
    """Bent, two such numbers would name nearly every item, and the window that teaches would be learnt by heart."""
    ranker, request = make_ranker(store, **VARIANTS["recent"]), make_request(questions=3)
    logits = []
    for log_count in (0.0, 1.0, 2.0):
        recent_NR = np.full((NUM_ROWS, 2), np.expm1(log_count), np.float32)
        ranker.model.tables.counted = replace(ranker.model.tables.counted, recent_NR=recent_NR)
        logits.append(ranker.logits(request))
    assert np.abs(logits[1] - logits[0]).max() > 1e-2
    np.testing.assert_allclose(logits[2] - logits[1], logits[1] - logits[0], atol=1e-4)


def test_without_retrieval_scores_and_vectors_are_not_read(store):
    ranker, request = make_ranker(store, retrieval=False), make_request()
    other = replace(
        request,
        query_vector_ED=request.query_vector_ED + 1,
        retrieval_scores_EK=np.where(request.candidates_EK > 0, 5.0, 0.0).astype(np.float32),
    )
    np.testing.assert_array_equal(ranker.score(other), ranker.score(request))


@pytest.mark.parametrize("variant", VARIANTS)
def test_padding_scores_0_and_does_not_disturb(store, variant):
    ranker, request = make_ranker(store, **VARIANTS[variant]), make_request(questions=1, candidates=4)
    request = replace(request, candidates_EK=np.array([[5, 9, 3, 0]]), retrieval_scores_EK=np.ones((1, 4), np.float32))
    scores = ranker.score(request)
    assert scores[0, 3] == 0
    assert (scores[0, :3] > 0).all()
    short = replace(
        request, candidates_EK=request.candidates_EK[:, :3], retrieval_scores_EK=request.retrieval_scores_EK[:, :3]
    )
    np.testing.assert_allclose(ranker.score(short), scores[:, :3], atol=1e-6)


def test_scores_come_through_bytes_unchanged(store):
    ranker, request = make_ranker(store), make_request()
    received, _ = RankingRequest.from_bytes(request.to_bytes("r"))
    np.testing.assert_array_equal(ranker.score(received), ranker.score(request))


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "without retrieval"])
def test_untrained_it_keeps_the_order_of_retrieval(store, variant):
    request = make_request(questions=4, candidates=10)
    scores = make_ranker(store, trained=False, embeddings=False).score(request)
    np.testing.assert_array_equal(scores, make_ranker(store, trained=False, **VARIANTS[variant]).score(request))
    for e in range(4):
        inside = request.candidates_EK[e] > 0
        by_retrieval = np.argsort(request.retrieval_scores_EK[e][inside])
        np.testing.assert_array_equal(np.argsort(scores[e][inside]), by_retrieval)


def test_scores_are_the_calibrated_logits(store):
    ranker, request = make_ranker(store), make_request()
    inside = request.candidates_EK > 0
    expected = 1 / (1 + np.exp(-(0.7 * ranker.logits(request) - 1.0)))
    np.testing.assert_allclose(ranker.score(request)[inside], expected[inside], rtol=1e-5)


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("history_EL", lambda r: np.where(r.history_EL > 0, r.history_EL % (NUM_ROWS - 1) + 1, 0)),
        ("user_E", lambda r: (r.user_E + 1) % NUM_USERS),
        ("numeric_EF", lambda r: r.numeric_EF + 1),
        ("query_vector_ED", lambda r: r.query_vector_ED + 1),
        ("retrieval_scores_EK", lambda r: r.retrieval_scores_EK + 1),
        ("candidates_EK", lambda r: np.where(r.candidates_EK > 0, r.candidates_EK % (NUM_ROWS - 1) + 1, 0)),
        ("categorical", lambda r: {n: (rows + 1) % 4 for n, rows in r.categorical.items()}),
    ],
)
def test_every_part_of_the_request_counts(store, field, change):
    ranker, request = make_ranker(store), make_request(questions=8, seed=3)
    other = replace(request, **{field: change(request)})
    assert not np.allclose(ranker.score(request), ranker.score(other), atol=1e-6)


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**31), questions=st.integers(1, 4), length=st.integers(0, 6), width=st.integers(1, 3))
def test_shares_are_sums_over_the_history(seed, questions, length, width):
    rng = np.random.default_rng(seed)
    history = rng.integers(0, 6, (questions, length, width))
    weights = rng.random((questions, length, 2)).astype(np.float32)
    keys = rng.integers(0, 6, (questions, 3, 2))
    expected = np.zeros((questions, 3, 2, 2))
    for e, k, m in np.ndindex(questions, 3, 2):
        if keys[e, k, m]:
            for event in range(length):
                expected[e, k, m] += (history[e, event] == keys[e, k, m]).sum() * weights[e, event]
    np.testing.assert_allclose(key_shares(history, weights, keys, 6), expected, atol=1e-5)


def test_weights_of_events():
    weights = event_weights(np.array([0, 2, 4]), 4)
    assert weights[0].tolist() == [[0, 0]] * 4
    assert weights[1, :, 0].tolist() == [0.5, 0.5, 0, 0]
    assert weights[2, :, 0].tolist() == [0.25] * 4
    recent = weights[2, :, 1]
    assert recent[0] == pytest.approx(recent[3] / 2), "three events further back counts half"
    assert (np.diff(recent) > 0).all()
    assert weights[1, 1, 1] == recent[3], "the last event counts the same in every history"


def test_inputs_by_hand(store):
    request = replace(
        make_request(questions=1, candidates=2),
        history_EL=np.array([[7, 8, 7, 0, 0]]),
        length_E=np.array([3]),
        candidates_EK=np.array([[7, 10]]),
        retrieval_scores_EK=np.array([[3.0, 5.0]], np.float32),
    )
    assert (
        InputReader(config_of(store, embeddings=False), ItemTables(store.folder, store)).read(request).vectors_EKD
        is None
    )
    config = config_of(store, score_mean=3.0, score_std=2.0, popularity_mean=1.0, popularity_std=2.0)
    inputs = InputReader(config, ItemTables(store.folder, store)).read(request)
    assert inputs.score_EK.tolist() == [[0.0, 1.0]]
    np.testing.assert_array_equal(inputs.vectors_EKD[0, 0], np.load(store.folder / "vectors.npy")[6])
    assert inputs.keys_EKM[0, 0, 0] == 7
    assert store.popularity[10] == 0
    assert inputs.keys_EKM[0, 1, 0] == 0, "untrained: no key of its own"
    genres = store.item_categorical["genres"][7]
    np.testing.assert_array_equal(inputs.keys_EKM[0, 0, 1:4], np.where(genres > 0, genres + NUM_ROWS, 0))
    assert inputs.num_values_EKA[0, 0].tolist() == [1, max((genres > 0).sum(), 1), 1]
    numbers, popularity, shares = (
        inputs.numeric_EKF[0, 0, :2],
        inputs.numeric_EKF[0, 0, 2],
        inputs.numeric_EKF[0, 0, 3:],
    )
    np.testing.assert_array_equal(numbers, store.item_numeric[7])
    assert popularity == pytest.approx((np.log1p(store.popularity[7]) - 1.0) / 2.0)
    assert shares[0] == pytest.approx(2 / 3), "two of three events are the item itself"
    artist = store.item_categorical["artist"][:, 0]
    expected = (artist[[7, 8, 7]] == artist[7]).mean() if artist[7] else 0.0
    assert shares[4] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"candidates_EK": np.full((3, 6), NUM_ROWS)}, "candidates has rows outside 0 to 40"),
        ({"candidates_EK": np.full((3, 6), -1)}, "candidates"),
        ({"history_EL": np.full((3, 5), NUM_ROWS)}, "history"),
        ({"user_E": np.full(3, NUM_USERS)}, "user"),
        ({"categorical": {"clock.hour": np.ones((3, 1), np.int64)}}, "fields"),
        ({"categorical": {"clock.hour": np.full((3, 1), 25), "user.town": np.ones((3, 1), np.int64)}}, "clock.hour"),
        ({"numeric_EF": np.zeros((3, 3), np.float32)}, "numeric has width 3"),
        ({"query_vector_ED": np.zeros((3, 4), np.float32)}, "query_vector has width 4"),
    ],
)
def test_a_request_of_another_release_is_a_value_error(store, change, message):
    with pytest.raises(ValueError, match=message):
        make_ranker(store).score(replace(make_request(), **change))


def test_saved_and_opened_it_scores_the_same(store, tmp_path):
    ranker, request = make_ranker(store), make_request()
    ranker.save(tmp_path / "one", {"ndcg": 0.5})
    ranker.save(tmp_path / "two", {"ndcg": 0.5})
    assert all(file.stat().st_mode & 0o044 == 0o044 for file in (tmp_path / "one").iterdir()), "another user serves it"
    for name in ("ranker.safetensors", "ranking.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    opened = Ranker.open(tmp_path / "one", store.folder, store)
    np.testing.assert_array_equal(opened.score(request), ranker.score(request))


@pytest.fixture
def saved(store, tmp_path):
    make_ranker(store).save(tmp_path / "ranking", {})
    return tmp_path / "ranking"


def test_another_store_is_refused(saved, store, tmp_path):
    other = make_store(tmp_path / "other", item=store.schema.item.model_copy(update={"categorical": []}))
    with pytest.raises(ValueError, match="item_fields"):
        Ranker.open(saved, store.folder, other)


def test_vectors_of_another_run_are_refused(saved, store, tmp_path):
    np.save(tmp_path / "vectors.npy", np.zeros((NUM_ROWS, DIM), np.float32))
    with pytest.raises(ValueError, match=r"vectors\.npy holds 41 items"):
        Ranker.open(saved, tmp_path, store)
    np.save(tmp_path / "vectors.npy", np.zeros((NUM_ROWS - 1, DIM + 1), np.float32))
    with pytest.raises(ValueError, match="vector_dim 8"):
        Ranker.open(saved, tmp_path, store)


def test_broken_files_are_value_errors(saved, store):
    weights = (saved / "ranker.safetensors").read_bytes()
    (saved / "ranker.safetensors").write_bytes(weights[:-4])
    with pytest.raises(ValueError, match="cannot be read"):
        Ranker.open(saved, store.folder, store)
    save_file({"wrong": torch.zeros(2)}, saved / "ranker.safetensors")
    with pytest.raises(ValueError, match="do not fit"):
        Ranker.open(saved, store.folder, store)
    (saved / "ranker.safetensors").unlink()
    with pytest.raises(ValueError, match="cannot be read"):
        Ranker.open(saved, store.folder, store)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema_version": 1}'])
def test_broken_settings_are_a_value_error(saved, store, text):
    (saved / "ranking.json").write_text(text)
    with pytest.raises(ValueError, match="cannot be read"):
        Ranker.open(saved, store.folder, store)


def test_another_schema_is_refused_by_number(saved, store):
    found = json.loads((saved / "ranking.json").read_text()) | {"schema_version": 9}
    (saved / "ranking.json").write_text(json.dumps(found))
    with pytest.raises(ValueError, match="schema 9, this version of shortlist reads 2"):
        Ranker.open(saved, store.folder, store)


def test_a_ranker_of_other_numbers_of_nearness_is_to_be_trained_again(store, tmp_path):
    make_ranker(store, **VARIANTS["neighbours, no order"]).save(tmp_path, {})
    found = json.loads((tmp_path / "ranking.json").read_text())
    found["network"]["near_scale"] = [0.5, 0.5]
    (tmp_path / "ranking.json").write_text(json.dumps(found))
    with pytest.raises(ValueError, match="reads 2 numbers of nearness, this version of shortlist counts 4; train it"):
        Ranker.open(tmp_path, store.folder, store)
