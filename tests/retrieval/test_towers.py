"""What every encoder must do, and the towers around them."""

import numpy as np
import pytest
import torch
from clean_tables import recipe, write_clean
from torch import Tensor

from shortlist.features import TableSchema
from shortlist.prepare.prepare import prepare
from shortlist.prepare.prepared import Prepared
from shortlist.recipe import Recipe
from shortlist.retrieval.encoders import Encoder, encoder_of
from shortlist.retrieval.towers import Inputs, TwoTower

LENGTH, WIDTH = 9, 8
KINDS = ("mean", "attention", "transformer")


@pytest.fixture(params=KINDS)
def encoder(request: pytest.FixtureRequest) -> Encoder:
    """Every encoder, moved away from its first weights."""
    torch.manual_seed(0)
    made = encoder_of(request.param, WIDTH, history_length=LENGTH, layers=2, heads=2, dropout=0.3)
    with torch.no_grad():
        for weight in made.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    return made.eval()


def histories(count: int = 5) -> Tensor:
    return torch.randn(count, LENGTH, WIDTH, generator=torch.Generator().manual_seed(1))


def test_it_has_a_state_for_every_event(encoder: Encoder) -> None:
    states = encoder(histories())
    assert states.shape == (5, LENGTH, WIDTH)
    assert states.isfinite().all()


@pytest.mark.parametrize("at", range(LENGTH))
def test_later_events_do_not_change_earlier_states(encoder: Encoder, at: int) -> None:
    before = histories()
    after = before.clone()
    after[:, at + 1 :] = 100 * torch.randn_like(after[:, at + 1 :])
    assert torch.allclose(encoder(before)[:, : at + 1], encoder(after)[:, : at + 1], atol=1e-5)


def test_every_earlier_event_counts(encoder: Encoder) -> None:
    before = histories()
    for at in range(LENGTH):
        after = before.clone()
        after[:, at] += torch.randn(WIDTH, generator=torch.Generator().manual_seed(at))
        changed = (encoder(before) - encoder(after)).abs().amax((0, 2))
        assert (changed[at:] > 1e-4).all(), at


def test_the_last_state_is_the_state_at_the_last_event(encoder: Encoder) -> None:
    given = histories(LENGTH)
    length = torch.arange(1, LENGTH + 1)
    every = encoder(given)[torch.arange(LENGTH), length - 1]
    assert torch.allclose(encoder.last(given, length), every, atol=1e-5)


def test_padding_changes_nothing(encoder: Encoder) -> None:
    given = histories()
    length = torch.tensor([1, 3, 5, 7, 8])
    padded = given.clone()
    for b, end in enumerate(length):
        padded[b, end:] = 1e3
    assert torch.allclose(encoder.last(given, length), encoder.last(padded, length), atol=1e-5)
    alone = encoder.last(given[1:2], length[1:2])
    assert torch.allclose(alone, encoder.last(given, length)[1:2], atol=1e-5)


def test_an_empty_history_is_a_number_and_has_no_gradient_that_is_none(encoder: Encoder) -> None:
    given = torch.zeros(2, LENGTH, WIDTH, requires_grad=True)
    state = encoder.last(given, torch.tensor([0, 2]))
    assert state.isfinite().all()
    state.sum().backward()
    assert given.grad is not None
    assert given.grad.isfinite().all()


@pytest.mark.parametrize("every", [True, False])
def test_gradient_reaches_every_weight_and_input(encoder: Encoder, every: bool) -> None:
    given = histories().requires_grad_()
    full = torch.full((5,), LENGTH)
    states = encoder(given) if every else encoder.last(given, full)
    (states * torch.randn(states.shape, generator=torch.Generator().manual_seed(2))).sum().backward()
    assert given.grad is not None
    assert (given.grad.abs().amax(-1) > 0).all()
    for name, weight in encoder.named_parameters():
        assert weight.grad is not None, name
        assert (weight.grad != 0).any(), name


def test_dropout_only_works_in_training() -> None:
    encoder = encoder_of("transformer", WIDTH, history_length=LENGTH, layers=1, heads=2, dropout=0.5)
    given = histories()
    assert not torch.equal(encoder.train()(given), encoder(given))
    assert torch.equal(encoder.eval()(given), encoder(given))


def test_order_matters_to_those_that_read_it() -> None:
    for kind in KINDS:
        encoder = encoder_of(kind, WIDTH, history_length=LENGTH, layers=2, heads=2, dropout=0.0).eval()
        given = histories()
        same = torch.allclose(encoder(given)[:, -1], encoder(given[:, torch.randperm(LENGTH)])[:, -1], atol=1e-5)
        assert same == (kind == "mean"), kind


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match=r"retrieval.dim 10 .* retrieval.heads 4"):
        encoder_of("transformer", 10, history_length=LENGTH, layers=1, heads=4, dropout=0.0)


# The towers.

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
def test_an_example_at_a_prefix_is_the_question_with_that_history(prepared: Prepared, kind: str) -> None:
    """Windows with many examples, and each example asked alone, give the same query vectors."""
    made_for = full_recipe(f"{{encoder: {kind}, dim: 12}}")
    model, inputs = towers(prepared, made_for), Inputs(prepared.store)
    rows = model.items(inputs.items(np.arange(prepared.store.schema.num_item_rows), CPU))
    store, length = prepared.store, prepared.store.schema.history_length
    start = store.history_offsets[3]
    window = store.history_items[start : start + length].astype(np.int64)[None]
    prefix = np.arange(length + 1)
    context = prepared.valid.context.take(np.zeros(length + 1, np.int64))
    user = np.full(length + 1, 3)
    shared = store.ask(window, np.zeros(length + 1, np.int64), prefix, user, context)
    alone = store.queries(user, store.history_items, start + prefix * 0, start + prefix, context)
    vectors = []
    for queries, last in ((shared, False), (alone, True)):
        asked = inputs.query(queries, CPU, last=last)
        vectors.append(model.query(rows[torch.from_numpy(queries.history_BL)], asked, model.users(asked.user_E)))
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
    larger = type(items)(items.row_N, items.categorical, items.dense_NF.clone())
    larger.dense_NF[:, model.items.numeric_dim :] *= 1000
    assert torch.allclose(model.items(items), model.items(larger), atol=1e-3)


def test_before_training_a_query_points_to_its_history(prepared: Prepared) -> None:
    made_for = full_recipe("{encoder: attention, dim: 12, hidden: [16]}")
    only_ids = prepared.store.schema.model_copy(update={"item": TableSchema(), "embedding_dim": 0})
    model, inputs = TwoTower(only_ids, made_for.features, made_for.retrieval).eval(), Inputs(prepared.store)
    rows = model.items(inputs.items(np.arange(21), CPU))
    queries = prepared.queries(prepared.valid)
    asked = inputs.query(queries, CPU, last=True)
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
    queries = prepared.queries(prepared.valid)
    queries.prefix_E[0] = 0
    asked = inputs.query(queries, CPU, last=True)
    vectors = model.query(rows[torch.from_numpy(queries.history_BL)], asked, model.users(asked.user_E))
    (vectors @ model.candidate(rows).T).square().sum().backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert (weight.grad != 0).any(), name
