"""The towers around the encoders."""

import numpy as np
import pytest
import torch
from clean_tables import recipe, write_clean

from shortlist.dataset.prepare import prepare
from shortlist.dataset.prepared import Prepared
from shortlist.features import TableSchema
from shortlist.recipe import Recipe
from shortlist.retrieval.towers import Inputs, TwoTower

KINDS = ("mean", "attention", "transformer", "hstu", "[attention, mean]")

FEATURES = """{history_length: 6,
  item: {id_dim: 8, categorical: [{name: artist, dim: 4, max_values: 2}, {name: kind, dim: 3}], numeric: [length],
         embedding: {name: sound, dim: 3}},
  user: {id_dim: 5}, context: {categorical: [{name: country, dim: 3}], numeric: [price], clock: [hour]}}"""


def full_recipe(retrieval: str = "{dim: 12, hidden: [10], dropout: 0.0}") -> Recipe:
    return recipe(features=FEATURES, retrieval=retrieval)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """20 items of which the last was never met, and one that only the test window has."""
    rng = np.random.default_rng(0)
    folder, count = tmp_path_factory.mktemp("towers"), 400
    item = rng.integers(1, 19, count)
    item[-1] = 19
    events = {
        "user_id": rng.integers(1, 9, count),
        "item_id": item,
        "time": np.sort(rng.integers(0, 100, count)),
        "country": rng.choice(["de", "fr"], count).tolist(),
        "price": rng.random(count).tolist(),
    }
    events["time"][-1] = 99
    items = {
        "item_id": list(range(1, 21)),
        "artist": [["x", "y"][: 1 + i % 2] for i in range(20)],
        "kind": [None if i == 3 else f"k{i % 3}" for i in range(20)],
        "length": [float(i) for i in range(20)],
        "sound": rng.normal(0, 100, (20, 3)).tolist(),
    }
    prepare(full_recipe(), write_clean(folder / "clean", events, items=items), folder / "prepared")
    return Prepared.open(folder / "prepared")


def towers(prepared: Prepared, made_for: Recipe) -> TwoTower:
    torch.manual_seed(0)
    return TwoTower(prepared.store.schema, made_for.features, made_for.retrieval).eval()


CPU = torch.device("cpu")


@pytest.mark.parametrize("kind", KINDS)
def test_an_example_at_a_prefix_is_the_query_with_that_history(prepared: Prepared, kind: str) -> None:
    """Windows with many examples, and each example asked alone, give the same query vectors."""
    made_for = full_recipe(f"{{encoder: {kind}, dim: 12}}")
    model, inputs = towers(prepared, made_for), Inputs(prepared.store)
    rows = model.items(inputs.items(np.arange(prepared.store.schema.num_item_rows), CPU))
    store, length = prepared.store, prepared.store.schema.history_length
    start = store.history_offsets[3]
    prefix = np.arange(length + 1)
    context = prepared.valid.context.take(np.zeros(length + 1, np.int64))
    user = np.full(length + 1, 3)
    end = start + np.array([length])
    shared = store.packed(start + np.array([0]), end, np.zeros(length + 1, np.int64), prefix, user, context)
    alone = store.queries(user, store.history_items, start + prefix * 0, start + prefix, context)
    vectors = []
    for queries, history in ((shared, shared.history_T), (alone, alone.history_BL)):
        asked = inputs.query(queries, CPU)
        vectors.append(model.query(rows[torch.from_numpy(history)], asked, model.users(asked.user_E)))
    assert vectors[0].shape == (length + 1, 12)
    assert torch.allclose(*vectors, atol=1e-5)


@pytest.mark.parametrize("metric", ["cosine", "dot"])
def test_vectors_have_length_one_where_the_metric_is_cosine(prepared: Prepared, metric: str) -> None:
    model = towers(prepared, full_recipe(f"{{dim: 12, metric: {metric}}}"))
    items = Inputs(prepared.store).items(np.arange(21), CPU)
    norm = model.candidate(model.items(items)).norm(dim=1)
    assert torch.allclose(norm, torch.ones(21), atol=1e-5) == (metric == "cosine")


def test_an_untrained_id_is_the_unknown_one_but_keeps_its_attributes(prepared: Prepared) -> None:
    inputs = Inputs(prepared.store)
    known, met_too_late, never_met = prepared.store.items.rows(np.array([5, 19, 20]))
    items = inputs.items(np.array([0, known, met_too_late, never_met]), CPU)
    assert items.row_N.tolist() == [0, known, 0, 0]
    vectors = towers(prepared, full_recipe()).items(items)
    assert not torch.allclose(vectors[2], vectors[3])
    assert not torch.allclose(vectors[0], vectors[2])


def test_several_values_are_averaged_and_padding_is_none(prepared: Prepared) -> None:
    model = towers(prepared, full_recipe())
    items = Inputs(prepared.store).items(np.array([0, 1, 2]), CPU)
    assert items.categorical["artist"].tolist() == [[0, 0], [1, 0], [1, 2]]
    artist, _ = model.items.fields(items.categorical)
    rows = model.items.fields.tables["artist"].weight
    assert torch.allclose(artist, torch.stack([torch.zeros(4), rows[1], (rows[1] + rows[2]) / 2]), atol=1e-6)


def test_given_embeddings_may_have_any_scale(prepared: Prepared) -> None:
    model = towers(prepared, full_recipe())
    items = Inputs(prepared.store).items(np.arange(1, 21), CPU)
    larger = type(items)(items.row_N, items.categorical, items.dense_NF.clone(), items.rarity_N)
    larger.dense_NF[:, model.items.numeric_dim :] *= 1000
    assert torch.allclose(model.items(items), model.items(larger), atol=1e-3)


def test_before_training_a_query_points_to_its_history(prepared: Prepared) -> None:
    made_for = full_recipe("{encoder: attention, dim: 12, hidden: [16]}")
    only_ids = prepared.store.schema.model_copy(update={"item": TableSchema(), "embedding_dim": 0})
    model, inputs = TwoTower(only_ids, made_for.features, made_for.retrieval).eval(), Inputs(prepared.store)
    rows = model.items(inputs.items(np.arange(21), CPU))
    queries = prepared.encode(prepared.valid)
    asked = inputs.query(queries, CPU)
    vectors = model.query(rows[torch.from_numpy(queries.history_BL)], asked, model.users(asked.user_E))
    scores = vectors @ model.candidate(rows).T
    read = torch.zeros(scores.shape, dtype=torch.bool)
    read[torch.arange(len(read))[:, None], torch.from_numpy(queries.history_BL)] = True
    read[:, 0] = False
    assert scores[read].mean() > scores[~read].mean() + 0.2


def test_all_weights_learn(prepared: Prepared) -> None:
    model, inputs = towers(prepared, full_recipe()), Inputs(prepared.store)
    for head in (model.query.head, model.candidate.head):  # begin at zero, and move in the first step
        torch.nn.init.normal_(head.mlp[-1].weight)
    rows = model.items(inputs.items(np.arange(21), CPU))
    queries = prepared.encode(prepared.valid)
    queries.prefix_E[0] = 0
    asked = inputs.query(queries, CPU)
    vectors = model.query(rows[torch.from_numpy(queries.history_BL)], asked, model.users(asked.user_E))
    (vectors @ model.candidate(rows).T).square().sum().backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert (weight.grad != 0).any(), name


def test_the_query_vector_reads_the_states_of_all_encoders(prepared: Prepared) -> None:
    """It starts as the first one, and the hidden layers learn what to add from the others."""
    made_for = full_recipe("{encoder: [mean, attention], dim: 12, hidden: [], dropout: 0.0}")
    model, inputs = towers(prepared, made_for), Inputs(prepared.store)
    rows = model.items(inputs.items(np.arange(21), CPU))
    queries = prepared.encode(prepared.valid)
    asked = inputs.query(queries, CPU)

    def vectors() -> torch.Tensor:
        return model.query(rows[torch.from_numpy(queries.history_BL)], asked, model.users(asked.user_E)).detach()

    before = vectors()
    with torch.no_grad():
        model.query.encoder.encoders[1].value.weight.mul_(-1)
    assert torch.equal(before, vectors())
    torch.nn.init.normal_(model.query.head.mlp[-1].weight)
    before = vectors()
    with torch.no_grad():
        model.query.encoder.encoders[1].value.weight.mul_(-1)
    assert not torch.allclose(before, vectors())
