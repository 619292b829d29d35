"""A release made of random numbers: it answers like a real one, so it measures time and nothing else."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import faiss
import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from shortlist.features import CategoricalField, FeatureSchema, FeatureStore, NumericField, TableSchema
from shortlist.features.vocabulary import Vocabulary
from shortlist.ranking.network.model import ItemTables, RankerConfig, RankingModel
from shortlist.ranking.ranker import Calibration, Ranker, shapes_of
from shortlist.recipe import Recipe, parse_recipe
from shortlist.release.bundle import Lineage, Manifest, assemble
from shortlist.retrieval.faiss_index import choose_factory
from shortlist.statistics.find_neighbours import find_neighbours
from shortlist.statistics.item_statistics import ItemStatistics
from shortlist.statistics.of_sources import num_neighbours, reads_users
from shortlist.statistics.user_knn import UserKNN

_DIM = 64
_NPROBE = 16
_DEVICES = ("car", "phone", "speaker")


def make_release(
    folder: Path,
    *,
    num_items: int,
    num_users: int = 1000,
    history_length: int = 50,
    ranks: bool = True,
    text_ids: bool = False,
    serving: str = "{}",
    labels: Sequence[str] = (),
    candidates: str = "{}",
    seed: int = 0,
) -> Manifest:
    """Write a release into `folder`. Items are 1000, 1001, ... (`i1000`, ... with `text_ids`), users 1, 2, ...

    The last user has no history. `serving` and `candidates` are blocks of the recipe, as YAML. The ranker has
    random heads of the `labels`.
    """
    rng = np.random.default_rng(seed)
    recipe = parse_recipe(
        "name: made\nsource: {kind: synthetic}\nsplit: {kind: leave_one_out}\n"
        f"features: {{history_length: {history_length}, context: {{categorical: [{{name: device}}], numeric: [volume], "
        f"clock: [hour]}}, item: {{categorical: [{{name: artist}}, {{name: genres, max_values: 4}}]}}}}\n"
        f"serving: {serving}\ncandidates: {candidates}\n"
        f"interactions: {{labels: {{{', '.join(f'{name}: {name}' for name in labels)}}}}}\n"
    )
    with tempfile.TemporaryDirectory(dir=folder.parent) as parts:
        made = Path(parts)
        store = _features(made / "features", num_items, num_users, history_length, text_ids, rng)
        _retrieval(made / "retrieval", store, rng)
        _index(made / "index", np.load(made / "retrieval/vectors.npy", mmap_mode="r"), recipe)
        _statistics(made / "index", store, recipe)
        names = ["features", "retrieval", "index"]
        if ranks:
            _ranking(made / "ranking", made / "retrieval", store, recipe)
            names.append("ranking")
        evaluation = made / "evaluation.json"
        evaluation.write_text('{"systems": {"path": {"ndcg_at_10": {"mean": 0.1, "low": 0.1, "high": 0.1}}}}')
        lineage = Lineage(recipe_sha256="", code="", data=str(seed))
        return assemble({name: made / name for name in names}, recipe, evaluation, lineage, folder)


def _features(
    folder: Path, num_items: int, num_users: int, history_length: int, text_ids: bool, rng: np.random.Generator
) -> FeatureStore:
    item_rows, user_rows = num_items + 1, num_users + 1
    fields = [
        CategoricalField(name="artist", num_rows=num_items // 10 + 2, dim=16),
        CategoricalField(name="genres", num_rows=30, dim=8, max_values=4),
    ]
    schema = FeatureSchema(
        num_item_rows=item_rows,
        num_user_rows=user_rows,
        history_length=history_length,
        item=TableSchema(categorical=fields, numeric=[NumericField(name="length", mean=0.0, std=1.0)]),
        user=TableSchema(),
        context=TableSchema(
            categorical=[CategoricalField(name="device", num_rows=len(_DEVICES) + 1, dim=8)],
            numeric=[NumericField(name="volume", mean=0.5, std=0.2)],
        ),
        clock=["hour"],
    )
    for name in ("vocabularies", "items", "users", "history"):
        (folder / name).mkdir(parents=True)
    (folder / "schema.json").write_text(schema.model_dump_json())
    ids = np.arange(1000, 1000 + num_items)
    Vocabulary.of(np.char.add("i", ids.astype(str)) if text_ids else ids).save(folder / "vocabularies/item.npy")
    Vocabulary(np.arange(1, num_users + 1)).save(folder / "vocabularies/user.npy")
    for field in fields:
        words = np.array([f"{field.name} {row:07d}" for row in range(1, field.num_rows)])
        Vocabulary.of(words).save(folder / f"vocabularies/item.{field.name}.npy")
    Vocabulary.of(np.array(_DEVICES)).save(folder / "vocabularies/context.device.npy")
    titles = ["", *(f"Title {number}" for number in range(num_items))]
    lengths = rng.integers(history_length // 2, history_length * 2, num_users)
    lengths[-1] = 0
    arrays: dict[str, NDArray[np.generic]] = {
        f"items/{f.name}": rng.integers(0, f.num_rows, (item_rows, f.max_values), np.int32) for f in fields
    }
    arrays |= {
        "items/numeric": rng.normal(size=(item_rows, 2)).astype(np.float32),
        "items/popularity": np.append(0, rng.integers(0, 1000, num_items)),
        "items/popular": np.append(0, rng.spawn(1)[0].integers(0, 1000, num_items)).astype(np.float32),
        "items/trained": np.ones(item_rows, bool),
        "items/titles": np.frombuffer("".join(titles).encode(), np.uint8),
        "items/title_offsets": np.append(0, np.cumsum([len(title) for title in titles])),
        "users/numeric": np.zeros((user_rows, 0), np.float32),
        "history/offsets": np.append([0, 0], np.cumsum(lengths)),
        "history/items": rng.integers(1, item_rows, lengths.sum(), np.int32),
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return FeatureStore.open(folder)


def _retrieval(folder: Path, store: FeatureStore, rng: np.random.Generator) -> None:
    folder.mkdir()
    num_rows, length = store.schema.num_item_rows, store.schema.history_length
    vectors = rng.normal(size=(num_rows - 1, _DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    np.save(folder / "vectors.npy", vectors)
    np.save(folder / "item_inputs.npy", np.concatenate([np.zeros((1, _DIM), np.float32), vectors]))
    onnx.save(_tower(length, rng), folder / "query_tower.onnx")
    settings = {"metric": "cosine", "dim": _DIM, "inputs": [], "history_length": length}
    (folder / "retrieval.json").write_text(json.dumps(settings))


def _tower(length: int, rng: np.random.Generator) -> onnx.ModelProto:
    """Mean of the history through two layers, plus the device's embedding, of length 1."""
    weights = {
        "w1": rng.normal(size=(_DIM, 2 * _DIM)).astype(np.float32) / 8,
        "w2": rng.normal(size=(2 * _DIM, _DIM)).astype(np.float32) / 8,
        "device": rng.normal(size=(len(_DEVICES) + 1, _DIM)).astype(np.float32) / 10,
        "hour": rng.normal(size=(25, _DIM)).astype(np.float32) / 10,
        "volume": rng.normal(size=(2, _DIM)).astype(np.float32) / 10,
        "one": np.ones(1, np.float32),
        "axis": np.array([1]),
    }
    nodes = [
        ("MatMul", ["history", "w1"], ["a"]),
        ("Relu", ["a"], ["b"]),
        ("MatMul", ["b", "w2"], ["c"]),
        ("ReduceSum", ["c", "axis"], ["d"]),
        ("Cast", ["length"], ["e"]),
        ("Max", ["e", "one"], ["f"]),
        ("Unsqueeze", ["f", "axis"], ["g"]),
        ("Div", ["d", "g"], ["h"]),
        ("Gather", ["device", "context_device"], ["i"]),
        ("Gather", ["hour", "clock_hour"], ["j"]),
        ("Add", ["i", "j"], ["k"]),
        ("ReduceSum", ["k", "axis"], ["l"]),
        ("MatMul", ["numeric", "volume"], ["m"]),
        ("Sum", ["h", "l", "m"], ["n"]),
        ("LpNormalization", ["n"], ["vectors"]),
    ]
    settings = {"ReduceSum": {"keepdims": 0}, "Cast": {"to": TensorProto.FLOAT}}
    inputs = [
        ("history", TensorProto.FLOAT, ["B", length, _DIM]),
        ("length", TensorProto.INT64, ["B"]),
        ("context_device", TensorProto.INT64, ["B", 1]),
        ("clock_hour", TensorProto.INT64, ["B", 1]),
        ("numeric", TensorProto.FLOAT, ["B", 2]),
    ]
    graph = helper.make_graph(
        [helper.make_node(kind, given, out, **settings.get(kind, {})) for kind, given, out in nodes],
        "query_tower",
        [helper.make_tensor_value_info(*one) for one in inputs],
        [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["B", _DIM])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def _index(folder: Path, vectors: NDArray[np.float32], recipe: Recipe) -> None:
    folder.mkdir()
    factory = choose_factory(recipe.index, len(vectors))
    index = faiss.index_factory(_DIM, factory, faiss.METRIC_INNER_PRODUCT)
    index.train(np.ascontiguousarray(vectors[:300_000]))
    index.add(np.ascontiguousarray(vectors))
    faiss.write_index(index, str(folder / "index.faiss"))
    settings = {"factory": factory, "metric": "cosine", "nprobe": _NPROBE}
    (folder / "index.json").write_text(json.dumps(settings))


def _statistics(folder: Path, store: FeatureStore, recipe: Recipe) -> None:
    """What the candidate sources read, of the histories."""
    users = np.repeat(np.arange(store.users.num_rows), np.diff(store.history_offsets))
    items, keep = np.asarray(store.history_items), num_neighbours(recipe)
    num_rows = store.schema.num_item_rows
    ItemStatistics(
        find_neighbours(users, items, num_rows, keep) if keep else None,
        UserKNN.of(users, items, num_rows) if reads_users(recipe) else None,
    ).save(folder)


def _ranking(folder: Path, retrieval: Path, store: FeatureStore, recipe: Recipe) -> None:
    tables = ItemTables(retrieval, store)
    config = RankerConfig(
        **shapes_of(store, tables, users=False),
        cross_layers=recipe.ranking.cross_layers,
        low_rank=recipe.ranking.low_rank,
        hidden=recipe.ranking.hidden,
        dropout=recipe.ranking.dropout,
        labels=list(recipe.interactions.labels),
        source_scale=[] if recipe.candidates.by_towers_alone else [1.0] * len(recipe.candidates.all_sources),
    )
    model = RankingModel(config, tables)
    for weight in model.label_heads.parameters():
        nn.init.normal_(weight, generator=torch.Generator().manual_seed(0))
    Ranker(model, Calibration(slope=2.0, intercept=-1.0), objective=recipe.ranking.objective).save(folder, {})
