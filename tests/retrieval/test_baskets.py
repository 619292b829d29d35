"""Data without order: each item is asked for from all others, and never from itself."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from clean_tables import recipe, write_clean
from hypothesis import given, settings
from hypothesis import strategies as st

from shortlist.dataset.prepare import prepare
from shortlist.dataset.prepared import Prepared
from shortlist.dataset.split import TRAIN
from shortlist.features import PackedQueries
from shortlist.recipe import Recipe
from shortlist.retrieval.baskets import Baskets, pairs_within
from shortlist.retrieval.batches import RetrievalBatches
from shortlist.retrieval.export import export
from shortlist.retrieval.task import RetrievalTask
from shortlist.retrieval.train_retrieval import train_retrieval

GENRES, ITEMS, USERS = 4, 60, 150


SOFTMAX = "loss: {kind: softmax, temperature: 0.2}"


def made_for(
    retrieval: str = SOFTMAX, training: str = "", features: str = "item: {id_dim: 16}", **blocks: str
) -> Recipe:
    return recipe(
        "{kind: given, valid: 0.2}",
        interactions="{ordered: false, time_unit: row}",
        features=f"{{history_length: 12, {features}}}",
        retrieval="{encoder: mean, positions: leave_one_out, dim: 16, hidden: [], dropout: 0.0, "
        "training: {batch_size: 16, epochs: 12, patience: 12, learning_rate: 0.03, device: cpu"
        f"{training}}}, {retrieval}}}",
        **blocks,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every user likes one genre, a few are broad; one has a single item."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(USERS):
        own = np.arange(ITEMS)[np.arange(ITEMS) % GENRES == user % GENRES]
        items = rng.choice(own, 10, replace=False) if user > 3 else rng.permutation(ITEMS)[:30]
        rows += [(user, int(item), "test" if place < 2 else "train") for place, item in enumerate(items)]
    rows.append((USERS, 7, "train"))
    events = {name: [row[i] for row in rows] for i, name in enumerate(("user_id", "item_id", "part"))}
    made = tmp_path_factory.mktemp("baskets")
    prepare(made_for(), write_clean(made / "clean", {**events, "time": list(range(len(rows)))}), made / "prepared")
    return made / "prepared"


def test_a_sample_asks_for_every_item_of_a_user_from_the_others(folder: Path) -> None:
    prepared = Prepared.open(folder)
    batches = RetrievalBatches(prepared, made_for())
    samples = prepared.samples
    train = (samples.part == TRAIN) & samples.label
    seen = []
    for step in range(batches.num_batches(0)):
        batch = batches.batch(0, step)
        assert isinstance(batch.queries, PackedQueries)
        assert batch.known_2X is not None
        bounds = np.append(0, np.cumsum(batch.queries.length_B))
        for start, end in pairwise(bounds):
            user, items = batch.queries.user_E[start], batch.item_E[start:end]
            assert (batch.queries.user_E[start:end] == user).all()
            assert len(items) <= 12
            assert np.array_equal(items, batch.queries.history_T[start:end])
            assert np.isin(items, samples.item[train & (samples.user == user)]).all()
            for e in range(start, end):
                known = batch.known_2X[1][batch.known_2X[0] == e]
                assert np.array_equal(np.sort(known), np.sort(items))
                assert batch.queries.last_E[e] == (e if end - start > 1 else -1)
        seen += list(zip(batch.queries.user_E.tolist(), batch.item_E.tolist(), strict=True))
    assert sorted(seen) == sorted(zip(samples.user[train].tolist(), samples.item[train].tolist(), strict=True))


@settings(max_examples=60, deadline=None)
@given(counts=st.lists(st.integers(1, 30), min_size=1, max_size=8), width=st.integers(1, 12))
def test_long_sets_are_cut_into_pieces_of_nearly_one_size(counts: list[int], width: int) -> None:
    class Some:
        user = np.repeat(np.arange(len(counts)), counts)
        item = np.arange(sum(counts)) + 1

    baskets = Baskets.of(Some, np.arange(sum(counts)), width)  # type: ignore[arg-type]
    sample_E, length_B = baskets.take(np.arange(len(baskets)))
    assert np.array_equal(sample_E, np.arange(sum(counts)))
    assert length_B.max() <= width
    assert length_B.min() >= 1
    bounds = np.append(0, np.cumsum(length_B))
    for user, count in enumerate(counts):
        pieces = [b - a for a, b in pairwise(bounds) if Some.user[a] == user]
        assert sum(pieces) == count
        assert max(pieces) - min(pieces) <= 1
    example_X, item_X = pairs_within(Some.item[sample_E], length_B)
    assert len(example_X) == (length_B**2).sum()
    assert (np.diff(example_X) >= 0).all()
    assert (np.searchsorted(bounds, example_X, "right") == np.searchsorted(bounds, item_X - 1, "right")).all()


def test_an_item_that_a_user_has_twice_is_one(folder: Path) -> None:
    class Some:
        user, item = np.array([0, 0, 0, 1]), np.array([5, 3, 5, 5])

    baskets = Baskets.of(Some, np.arange(4), 10)  # type: ignore[arg-type]
    assert baskets.take(np.arange(2))[0].tolist() == [0, 1, 3]


def test_the_target_is_not_in_its_own_history(folder: Path) -> None:
    """The query vector of an example is that of a served query over the others, and its own input has no part."""
    task = RetrievalTask(made_for(), Prepared.open(folder))
    task.model.eval()
    batch = task.batches.batch(0, 0)
    queries = batch.queries
    assert isinstance(queries, PackedQueries)
    inputs, _ = task.catalogue()
    inputs = inputs.detach().requires_grad_()
    got = task.query(queries, inputs[torch.from_numpy(queries.history_T)])
    bounds = np.append(0, np.cumsum(queries.length_B))
    window = np.searchsorted(bounds, np.arange(len(batch.item_E)), "right") - 1
    store = task.prepared.store
    for e in range(0, len(batch.item_E), 7):
        own = batch.item_E[bounds[window[e]] : bounds[window[e] + 1]]
        others = own[own != batch.item_E[e]]
        asked = store.queries(
            queries.user_E[e : e + 1], others, np.array([0]), np.array([len(others)]),
            task.prepared.samples.context.take(np.array([0])),
        )  # fmt: skip
        wanted = task.query(asked, inputs[torch.from_numpy(asked.history_BL)])[0]
        assert torch.allclose(got[e], wanted, atol=1e-6)
        gradient = torch.autograd.grad(got[e].sum(), inputs, retain_graph=True)[0]
        assert gradient[batch.item_E[e]].abs().max() < 1e-6
        assert gradient[others].abs().min() > 0 or len(others) == 0


def test_what_few_have_begins_as_worth_more(folder: Path) -> None:
    """And candidates do not change with it: they have length 1."""
    task = RetrievalTask(made_for(), Prepared.open(folder))
    taken = np.asarray(task.prepared.store.popularity, np.float64)
    with torch.no_grad():
        inputs, vectors = task.catalogue()
        ids = task.model.items.id(torch.from_numpy(task.inputs.item_row))
    ratio = (inputs.norm(dim=1) / ids.norm(dim=1)).numpy()
    assert np.allclose(ratio[taken > 0], np.sqrt(taken[taken > 0].mean() / taken[taken > 0]), rtol=1e-5)
    assert np.allclose(ratio[taken == 0], 1)
    assert torch.allclose(vectors, torch.nn.functional.normalize(ids, dim=1), atol=1e-6)


@pytest.mark.parametrize(("loss", "negatives"), [
    ("softmax, temperature: 0.2", "full"),
    ("softmax, temperature: 0.2", "mixed, num_uniform: 30, num_hard: 4"),
    ("softmax, temperature: 0.2", "in_batch"),
    ("softmax, temperature: 0.2", "uniform, num_uniform: 30"),
    ("gbce, temperature: 0.2", "uniform, num_uniform: 30"),
    ("cosine_contrastive", "uniform, num_uniform: 30"),
    ("bce, temperature: 0.2", "uniform, num_uniform: 30"),
    ("bce, temperature: 0.2", "mixed, num_uniform: 30"),
    ("bpr, temperature: 0.2", "uniform, num_uniform: 30"),
    ("bpr, temperature: 0.2", "in_batch"),
])  # fmt: skip
def test_it_learns_what_goes_together(folder: Path, tmp_path: Path, loss: str, negatives: str) -> None:
    made = made_for(f"loss: {{kind: {loss}}}, negatives: {{kind: {negatives}}}")
    result = train_retrieval(made, Prepared.open(folder), tmp_path)
    assert result.metrics["valid_recall_at_10"] > 0.6  # 10 of 52 items unseen by chance are 0.2


def test_what_is_served_is_what_was_trained(folder: Path, tmp_path: Path) -> None:
    made = made_for(
        SOFTMAX + ", negatives: {kind: full}", ", threads: 1", features="item: {id_dim: 16}, user: {id_dim: 8}"
    )
    train_retrieval(made, Prepared.open(folder), tmp_path / "trained")
    result = export(made, Prepared.open(folder), tmp_path / "trained", tmp_path / "exported")
    assert result.metrics["largest_difference"] < 1e-5


@pytest.mark.parametrize(
    ("retrieval", "message"),
    [
        ("{positions: last, encoder: mean}", "use positions leave_one_out and encoder mean"),
        ("{positions: leave_one_out}", "'leave_one_out' with encoder 'attention' needs an order"),
    ],
)
def test_unordered_data_need_their_own_samples(retrieval: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recipe("{kind: given, valid: 0.2}", interactions="{ordered: false, time_unit: row}", retrieval=retrieval)
    with pytest.raises(ValueError, match="predicts an item from later events"):
        recipe(retrieval="{positions: leave_one_out, encoder: mean}")
