"""Ids without a trained row, as hashed rows: in training, in the export, and where it continues in a refit."""

from pathlib import Path

import numpy as np
import pytest
import torch
from clean_tables import recipe, write_clean
from hypothesis import given
from hypothesis import strategies as st

from shortlist.dataset.prepare import prepare
from shortlist.dataset.prepared import Prepared
from shortlist.features.vocabulary import Vocabulary
from shortlist.hashing import hash_keys
from shortlist.recipe import Recipe, UnknownHash
from shortlist.retrieval.export import export
from shortlist.retrieval.tables import HashedIds
from shortlist.retrieval.task import RetrievalTask
from shortlist.retrieval.towers import Inputs, TwoTower
from shortlist.retrieval.train_retrieval import train_retrieval
from shortlist.training import checkpoints

CPU = torch.device("cpu")
NEW = (29, 30)
"""Items of the validation window, and of the test window."""
GOLDEN = [10451216379200822465, 2296115805719413641, 14292242080160061753]


def made_for(unknown: str = "{kind: hash, buckets: 40, hashes: 2}") -> Recipe:
    return recipe(
        features=f"{{history_length: 6, item: {{id_dim: 8, unknown: {unknown}, numeric: [length]}}}}",
        retrieval="{dim: 8, hidden: [], id_dropout: 0.3, training: {batch_size: 16, epochs: 2, device: cpu}}",
        split="{kind: temporal, test: 10s, valid: 10s}",
    )


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    rng, count = np.random.default_rng(0), 500
    time = np.sort(rng.integers(0, 100, count))
    item = rng.integers(1, 28, count)
    item[np.flatnonzero((time >= 80) & (time < 90))[:6]] = NEW[0]
    item[np.flatnonzero(time >= 90)[:6]] = NEW[1]
    events = {"user_id": rng.integers(1, 20, count), "item_id": item, "time": time}
    items = {"item_id": list(range(1, 31)), "length": [1.0] * 30}  # equal features: only ids tell items apart
    folder = tmp_path_factory.mktemp("unknown")
    prepare(made_for(), write_clean(folder / "clean", events, items=items), folder / "prepared")
    return Prepared.open(folder / "prepared")


@pytest.fixture(scope="module")
def trained(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("towers")
    train_retrieval(made_for(), prepared, folder)
    return folder


def inputs_of(prepared: Prepared, rows: np.ndarray, *, hidden: bool, trained: Path) -> np.ndarray:
    made = made_for()
    model = TwoTower(prepared.store.schema, made.features, made.retrieval).eval()
    model.load_state_dict(checkpoints.best_weights(trained))
    items = Inputs(prepared.store, hashes_ids=True).items(rows, CPU)
    items = items.without_ids(torch.full((len(rows),), hidden))
    with torch.no_grad():
        return np.asarray(model.items(items).numpy())


def test_never_trained_items_differ_and_are_exported_as_hidden_ids_are_trained(
    prepared: Prepared, trained: Path, tmp_path: Path
) -> None:
    export(made_for(), prepared, trained, tmp_path / "out")
    rows = prepared.store.items.rows(np.array(NEW))
    exported = np.load(tmp_path / "out/item_inputs.npy")
    assert np.array_equal(exported[rows], inputs_of(prepared, rows, hidden=True, trained=trained))
    assert not np.allclose(exported[rows[0]], exported[rows[1]])
    known = prepared.store.items.rows(np.array([3]))
    assert not np.allclose(exported[known], inputs_of(prepared, known, hidden=True, trained=trained))


def test_with_one_row_they_are_alike(prepared: Prepared, tmp_path: Path) -> None:
    train_retrieval(made_for("{kind: row}"), prepared, tmp_path / "towers")
    export(made_for("{kind: row}"), prepared, tmp_path / "towers", tmp_path / "out")
    rows = prepared.store.items.rows(np.array(NEW))
    assert np.array_equal(*np.load(tmp_path / "out/item_inputs.npy")[rows])


def test_id_dropout_trains_the_hashed_rows(prepared: Prepared) -> None:
    task = RetrievalTask(made_for(), prepared)
    task.model.train()
    task.loss(0, 0)[0].backward()
    assert task.model.items.hashed is not None
    gradient = task.model.items.hashed.table.weight.grad
    assert gradient is not None
    assert 0 < int((gradient != 0).any(1).sum()) < 40


def test_an_id_that_a_refit_trains_starts_from_its_hashed_rows(prepared: Prepared, trained: Path) -> None:
    task = RetrievalTask(made_for(), prepared)
    task.model.load_state_dict(checkpoints.best_weights(trained))
    refit = RetrievalTask(made_for(), prepared, refit_of=task.model)
    row = prepared.store.items.rows(np.array(NEW[:1]))
    assert refit.inputs.item_row[row] == row
    before, after = (one.model.items(one.inputs.items(row, CPU)) for one in (task, refit))
    assert torch.equal(before, after)


def test_ids_rarely_share_all_of_their_rows() -> None:
    torch.manual_seed(0)
    hashed = HashedIds(UnknownHash(kind="hash", buckets=1000, hashes=2), 4, "cosine")
    keys = torch.from_numpy(hash_keys(np.arange(2000)).view(np.int64))
    vectors = hashed(keys).detach().numpy()
    # Two of the 1,000 rows for each of 2,000 ids: about 2000^2 / 2 / 1000^2 = 2 pairs share both.
    assert len(np.unique(vectors.round(6), axis=0)) > 1985
    assert np.linalg.norm(vectors, axis=1).mean() == pytest.approx(1, abs=0.15)


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1), unique=True))
def test_the_hash_of_a_word_does_not_depend_on_the_others(words: list[str]) -> None:
    """Nor on the width of the array, and different words have different hashes."""
    together = hash_keys(Vocabulary.of(np.array(words)).keys) if words else np.zeros(0, np.uint64)
    alone = [hash_keys(np.array([word.encode()]))[0] for word in sorted(words, key=str.encode)]
    assert together.tolist() == alone
    assert len(set(alone)) == len(words)


def test_the_hash_of_an_id_is_the_same_on_every_machine() -> None:
    assert hash_keys(np.array([1, 2**40])).tolist() == GOLDEN[:2]
    assert hash_keys(np.array([b"track-7"])).tolist() == GOLDEN[2:]
