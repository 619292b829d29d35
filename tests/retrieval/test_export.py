"""What export writes, and that it is what torch would answer."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from clean_tables import recipe, write_clean
from numpy.typing import NDArray

from shortlist.dataset.prepare import prepare
from shortlist.dataset.prepared import Prepared
from shortlist.recipe import Recipe
from shortlist.retrieval import export as exporting
from shortlist.retrieval.export import export, probes
from shortlist.retrieval.towers import Inputs, TwoTower
from shortlist.retrieval.train_retrieval import train_retrieval

FEATURES = """{history_length: 6,
  item: {id_dim: 8, categorical: [{name: artist, dim: 4, max_values: 2}], numeric: [length],
         embedding: {name: sound, dim: 3}},
  user: {id_dim: 5}, context: {categorical: [{name: country, dim: 3}], numeric: [price], clock: [hour]}}"""
ENCODERS = ("mean", "attention", "transformer", "hstu", "[attention, mean]")
TRAINING = "training: {batch_size: 64, epochs: 1, device: cpu}"


def made_for(encoder: str, metric: str = "cosine", features: str = FEATURES) -> Recipe:
    return recipe(
        features=features, retrieval=f"{{encoder: {encoder}, dim: 12, hidden: [10], metric: {metric}, {TRAINING}}}"
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 items, the last never met; user 9 is met in the test window only. Checkpoints by the name of the encoder."""
    rng = np.random.default_rng(0)
    made, count = tmp_path_factory.mktemp("export"), 400
    events = {
        "user_id": np.append(rng.integers(1, 9, count - 1), 9),
        "item_id": rng.integers(1, 20, count),
        "time": np.append(np.sort(rng.integers(0, 100, count - 1)), 99),
        "country": rng.choice(["de", "fr"], count).tolist(),
        "price": rng.random(count).tolist(),
    }
    items = {
        "item_id": list(range(1, 21)),
        "artist": [["x", "y"][: 1 + i % 2] for i in range(20)],
        "length": [float(i) for i in range(20)],
        "sound": rng.normal(0, 100, (20, 3)).tolist(),
    }
    clean = write_clean(made / "clean", events, items=items)
    prepare(made_for("mean"), clean, made / "prepared")
    for encoder in ENCODERS:
        train_retrieval(made_for(encoder), Prepared.open(made / "prepared"), made / encoder)
    return made


@pytest.fixture(scope="module")
def exported(folder: Path) -> Path:
    export(made_for("attention"), Prepared.open(folder / "prepared"), folder / "attention", folder / "out")
    return folder / "out"


def answer(folder: Path, queries: object, prepared: Prepared) -> NDArray[np.float32]:
    """As serving asks: the graph, and rows gathered from the arrays beside it."""
    session = onnxruntime.InferenceSession(folder / "query_tower.onnx")
    values = {
        "history": np.load(folder / "item_inputs.npy")[queries.history_BL],
        "length": queries.prefix_E,
        "numeric": queries.numeric_EF,
        **{name.replace(".", "_"): rows for name, rows in queries.categorical.items()},
    }
    if (folder / "user_inputs.npy").exists():
        values["user"] = np.load(folder / "user_inputs.npy")[queries.user_E]
    return session.run(None, {one.name: values[one.name] for one in session.get_inputs()})[0]


@pytest.mark.parametrize("encoder", ENCODERS)
def test_it_answers_what_torch_answers(folder: Path, tmp_path: Path, encoder: str) -> None:
    made, prepared = made_for(encoder), Prepared.open(folder / "prepared")
    result = export(made, Prepared.open(folder / "prepared"), folder / encoder, tmp_path / "out")
    assert result.metrics["largest_difference"] < 1e-4
    model = TwoTower(prepared.store.schema, made.features, made.retrieval).eval()
    model.load_state_dict(exporting.checkpoints.best_weights(folder / encoder))
    queries = probes(prepared)
    assert set(queries.prefix_E.tolist()) >= {0, 1, 6}
    with torch.no_grad():
        inputs = Inputs(prepared.store)
        rows = model.items(inputs.items(np.arange(21), torch.device("cpu")))
        asked = inputs.query(queries, torch.device("cpu"))
        wanted = model.query(rows[torch.from_numpy(queries.history_BL)], asked, model.users(asked.user_E))
        candidates = model.candidate(rows)
    assert np.abs(answer(tmp_path / "out", queries, prepared) - wanted.numpy()).max() < 1e-4
    assert np.abs(np.load(tmp_path / "out/vectors.npy") - candidates[1:].numpy()).max() < 1e-6
    assert np.abs(np.load(tmp_path / "out/item_inputs.npy") - rows.numpy()).max() < 1e-6


def test_any_number_of_queries(exported: Path, folder: Path) -> None:
    prepared = Prepared.open(folder / "prepared")
    for count in (1, 3, 8):
        queries = prepared.encode(prepared.valid.take(np.arange(count) % len(prepared.valid)))
        got = answer(exported, queries, prepared)
        assert got.shape == (count, 12)
        assert np.allclose(np.linalg.norm(got, axis=1), 1, atol=1e-5)


def test_all_items_are_there_whether_trained_or_not(exported: Path) -> None:
    vectors, inputs = np.load(exported / "vectors.npy"), np.load(exported / "item_inputs.npy")
    assert vectors.shape == (20, 12)
    assert inputs.shape == (21, 12)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert len(np.unique(vectors.round(5), axis=0)) == 20, "two items of different attributes have one vector"


def test_users_never_trained_are_the_unknown_user(exported: Path, folder: Path) -> None:
    rows = np.load(exported / "user_inputs.npy")
    assert rows.shape == (10, 5)
    assert (rows[9] == rows[0]).all()
    assert not (rows[1] == rows[0]).any()


def test_the_settings_beside_it(exported: Path) -> None:
    assert json.loads((exported / "retrieval.json").read_text()) == {
        "dim": 12,
        "history_length": 6,
        "inputs": ["history", "length", "user", "context_country", "clock_hour", "numeric"],
        "metric": "cosine",
    }
    assert sorted(path.name for path in exported.iterdir()) == [
        "item_inputs.npy",
        "known.npy",
        "query_tower.onnx",
        "retrieval.json",
        "user_inputs.npy",
        "vectors.npy",
    ]


def test_items_of_which_the_towers_know_nothing_are_told_and_no_candidates(folder: Path, tmp_path: Path) -> None:
    """Without features the item that was never met is the unknown one; with features it is not."""
    made = made_for("mean", features="{history_length: 6, item: {id_dim: 8}, user: {id_dim: 5}}")
    prepare(made, folder / "clean", tmp_path / "prepared")
    prepared = Prepared.open(tmp_path / "prepared")
    train_retrieval(made, prepared, tmp_path / "checkpoints")
    trained = np.load(tmp_path / "prepared/features/items/trained.npy")
    told = export(made, prepared, tmp_path / "checkpoints", tmp_path / "out").rows_out
    assert np.load(tmp_path / "out/known.npy").tolist() == trained.tolist()
    assert (told["items_never_trained"], told["items_without_features"], told["items_unknown_to_towers"]) == (1, 20, 1)
    assert told["items_of_a_shared_vector"] == 0

    with_features = Prepared.open(folder / "prepared")
    told = export(made_for("mean"), with_features, folder / "mean", tmp_path / "featured").rows_out
    assert np.load(tmp_path / "featured/known.npy").tolist() == [False] + [True] * 20
    assert (told["items_never_trained"], told["items_without_features"], told["items_unknown_to_towers"]) == (1, 0, 0)


def test_only_what_the_recipe_has_is_asked_for(folder: Path, tmp_path: Path) -> None:
    features = "{history_length: 6, item: {id_dim: 12}}"
    clean, made = folder / "clean", made_for("mean", "dot", features)
    prepare(made, clean, tmp_path / "prepared")
    train_retrieval(made, Prepared.open(tmp_path / "prepared"), tmp_path / "checkpoint")
    export(made, Prepared.open(tmp_path / "prepared"), tmp_path / "checkpoint", tmp_path / "out")
    assert json.loads((tmp_path / "out/retrieval.json").read_text())["inputs"] == ["history", "length"]
    assert not (tmp_path / "out/user_inputs.npy").exists()
    norms = np.linalg.norm(np.load(tmp_path / "out/vectors.npy"), axis=1)
    assert not np.allclose(norms, 1, atol=1e-3)


def test_equal_weights_give_equal_bytes_in_another_process(exported: Path, folder: Path, tmp_path: Path) -> None:
    code = f"""
import sys; sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[1])]!r}
from pathlib import Path
from test_export import made_for
from shortlist.dataset.prepared import Prepared
from shortlist.retrieval.export import export
folder, out = Path({str(folder)!r}), Path({str(tmp_path / "again")!r})
export(made_for("attention"), Prepared.open(folder / "prepared"), folder / "attention", out)
"""
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "1"})
    for path in exported.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


def test_the_graph_tells_nothing_of_where_it_was_made(exported: Path) -> None:
    body = (exported / "query_tower.onnx").read_bytes()
    for word in (b"/shortlist", b".py", b"stack_trace", b"site-packages"):
        assert word not in body, word
    model = onnx.load_from_string(body)
    assert not model.metadata_props
    assert all(not node.metadata_props and not node.doc_string for node in model.graph.node)
    assert sum(np.prod(one.dims) for one in model.graph.initializer) < 21 * 8 + 5000, "a table is in the graph"


def test_a_graph_that_answers_otherwise_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strip = exporting._strip

    def spoil(model: onnx.ModelProto) -> None:
        strip(model)
        for one in model.graph.initializer:
            if one.data_type == onnx.TensorProto.FLOAT and np.prod(one.dims) > 20:
                values = onnx.numpy_helper.to_array(one) + 0.01
                one.CopyFrom(onnx.numpy_helper.from_array(values, one.name))

    monkeypatch.setattr(exporting, "_strip", spoil)
    with pytest.raises(ValueError, match="differs from torch"):
        export(made_for("attention"), Prepared.open(folder / "prepared"), folder / "attention", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weights_of_another_recipe_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not of this recipe"):
        export(made_for("mean"), Prepared.open(folder / "prepared"), folder / "transformer", tmp_path / "out")
    with pytest.raises(ValueError, match="no finished checkpoint"):
        export(made_for("mean"), Prepared.open(folder / "prepared"), tmp_path / "nothing", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_item_without_numbers_is_named(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Inputs.items

    def items(self: Inputs, rows: NDArray[np.int64], device: torch.device) -> object:
        made = original(self, rows, device)
        made.dense_NF[rows == 7] = torch.nan
        return made

    monkeypatch.setattr(Inputs, "items", items)
    with pytest.raises(ValueError, match="vector of item 7 is not finite"):
        export(made_for("attention"), Prepared.open(folder / "prepared"), folder / "attention", tmp_path / "out")
