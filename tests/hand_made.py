"""A small catalogue, made by hand: a store, an exported tower, an index, without any training.

The tower is the mean of the history's item vectors, normalised, so every answer can be computed in numpy.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from shortlist.dataset.prepared import Prepared, Unknowable
from shortlist.features import CategoricalField, Context, FeatureSchema, FeatureStore, TableSchema
from shortlist.features.availability import Availability
from shortlist.features.vocabulary import Vocabulary
from shortlist.ranking.network.inputs import ItemTables, RankerConfig
from shortlist.ranking.network.model import RankingModel
from shortlist.ranking.ranker import Calibration, Ranker, shapes_of
from shortlist.recipe import Recipe, dump_recipe
from shortlist.release.manifest import Lineage, Manifest

HISTORY_LENGTH = 6


def item_vectors(num_items: int, dim: int = 8, seed: int = 0) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).normal(size=(num_items, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def write_store(
    folder: Path,
    histories: Sequence[Sequence[int]],
    num_items: int,
    *,
    item_ids: Sequence[Any] | None = None,
    popularity: Sequence[int] | None = None,
    popular: Sequence[float] | None = None,
    available: Availability | None = None,
    genres: Sequence[Sequence[int]] | None = None,
    times: Sequence[Sequence[int]] | None = None,
) -> FeatureStore:
    """User row `u` has the history `histories[u - 1]` of item rows; ids are 10, 20, 30, ... unless given.

    `genres` has the rows of each item's genres, called g1, g2, ...; 0 is none. `times` are those of the events.
    """
    for name in ("vocabularies", "items", "users", "history"):
        (folder / name).mkdir(parents=True)
    num_users = len(histories)
    ids = np.array(item_ids if item_ids is not None else [10 * row for row in range(1, num_items + 1)])
    Vocabulary.of(ids).save(folder / "vocabularies/item.npy")
    Vocabulary.of(np.arange(1, num_users + 1)).save(folder / "vocabularies/user.npy")
    counts = np.zeros(num_items + 1, np.int64)
    if popularity is not None:
        counts[1:] = popularity
    else:
        np.add.at(counts, np.array([row for one in histories for row in one], np.int64), 1)
    arrays = {
        "items/numeric": np.zeros((num_items + 1, 0), np.float32),
        "items/popularity": counts,
        "items/popular": np.array(counts if popular is None else [0, *popular], np.float32),
        "items/trained": counts > 0,
        "items/titles": np.zeros(0, np.uint8),
        "items/title_offsets": np.zeros(num_items + 2, np.int64),
        "users/numeric": np.zeros((num_users + 1, 0), np.float32),
        "history/offsets": np.cumsum([0, 0, *(len(one) for one in histories)]).astype(np.int64),
        "history/items": np.array([row for one in histories for row in one], np.int32),
    }
    if times is not None:
        arrays["history/times"] = np.array([time for one in times for time in one], np.int64)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    schema = FeatureSchema(
        num_item_rows=num_items + 1,
        num_user_rows=num_users + 1,
        history_length=HISTORY_LENGTH,
        item=TableSchema(categorical=[] if genres is None else [_save_genres(folder, genres)]),
        user=TableSchema(),
        context=TableSchema(),
        clock=["hour"],
        availability=available is not None,
    )
    if available is not None:
        available.save(folder)
    (folder / "schema.json").write_text(schema.model_dump_json())
    return FeatureStore.open(folder)


def _save_genres(folder: Path, genres: Sequence[Sequence[int]]) -> CategoricalField:
    rows_NW = np.array([[0] * len(genres[0]), *genres], np.int32)
    words = Vocabulary.of(np.array([f"g{row}" for row in range(1, int(rows_NW.max()) + 1)]))
    words.save(folder / "vocabularies/item.genre.npy")
    np.save(folder / "items/genre.npy", rows_NW)
    return CategoricalField(name="genre", num_rows=words.num_rows, dim=4, max_values=rows_NW.shape[1], kind="text")


def write_retrieval(folder: Path, vectors_ND: NDArray[np.float32], *, metric: str = "cosine") -> None:
    """An export whose item inputs are the item vectors and whose tower is their mean over the history."""
    folder.mkdir(parents=True)
    dim = vectors_ND.shape[1]
    np.save(folder / "vectors.npy", vectors_ND)
    np.save(folder / "item_inputs.npy", np.concatenate([np.zeros((1, dim), np.float32), vectors_ND]))
    settings = {"metric": metric, "dim": dim, "history_length": HISTORY_LENGTH}
    (folder / "retrieval.json").write_text(json.dumps(settings))
    graph = helper.make_graph(
        [
            helper.make_node("ReduceSum", ["history", "axis"], ["sum"], keepdims=0),
            helper.make_node("LpNormalization", ["sum"], ["vectors"], axis=1, p=2),
        ],
        "tower",
        [
            helper.make_tensor_value_info("history", TensorProto.FLOAT, ["batch", HISTORY_LENGTH, dim]),
            helper.make_tensor_value_info("length", TensorProto.INT64, ["batch"]),
            helper.make_tensor_value_info("clock_hour", TensorProto.INT64, ["batch", 1]),
        ],
        [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["batch", dim])],
        [numpy_helper.from_array(np.array([1], np.int64), "axis")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, folder / "query_tower.onnx")


def write_index(
    folder: Path, vectors_ND: NDArray[np.float32], *, factory: str = "Flat", metric: str = "cosine", nprobe: int = 4
) -> None:
    folder.mkdir(parents=True)
    index = faiss.index_factory(vectors_ND.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors_ND)
    index.add(vectors_ND)
    faiss.write_index(index, str(folder / "index.faiss"))
    (folder / "index.json").write_text(json.dumps({"metric": metric, "nprobe": nprobe}))


def context_of(count: int, hour: int = 1) -> Context:
    return Context({"clock.hour": np.full((count, 1), hour, np.int64)}, np.zeros((count, 0), np.float32))


def write_prepared(
    folder: Path,
    histories: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
    num_items: int,
    *,
    trained: Sequence[tuple[int, int]] | None = None,
    **store: Any,
) -> Prepared:
    """A prepared folder in which user row `u` has the history `histories[u - 1]` and is asked for `targets[u - 1]`.

    Validation and test ask the same. `trained` are the (user row, item row) positives of the train window; by
    default those are the histories. A user without targets is not asked.
    """
    opened = write_store(folder / "features", histories, num_items, **store)
    if trained is None:
        trained = [(user + 1, row) for user, one in enumerate(histories) for row in one]
    users, items = (np.array(column, np.int32) for column in zip(*trained, strict=True))
    count = len(users)
    asked = np.array([user + 1 for user, one in enumerate(targets) if len(one)], np.int64)
    samples = {
        "history_times": np.arange(len(opened.history_items), dtype=np.int64),
        "user": users,
        "item": items,
        "time": np.arange(count, dtype=np.int64),
        "label": np.ones(count, bool),
        "weight": np.ones(count, np.float32),
        "start": opened.history_offsets[users],
        "end": opened.history_offsets[users],
        "part": np.ones(count, np.int8),
    }
    queries = {
        "user": asked,
        "start": opened.history_offsets[asked],
        "end": opened.history_offsets[asked + 1],
        "time": np.full(len(asked), 3_600, np.int64),
        "target_offsets": np.cumsum([0, *(len(one) for one in targets if len(one))]).astype(np.int64),
        "target_items": np.array([row for one in targets for row in one], np.int32),
    }
    for place, columns in (("samples", samples), ("queries/valid", queries), ("queries/test", queries)):
        size = len(columns["user"])
        into = folder / place
        (into / "context").mkdir(parents=True)
        for name, column in columns.items():
            np.save(into / f"{name}.npy", column)
        np.save(into / "context/clock.hour.npy", np.ones((size, 1), np.int32))
        np.save(into / "context/numeric.npy", np.zeros((size, 0), np.float32))
        if place != "samples":
            Unknowable(targets=len(queries["target_items"]), unknowable=0).save(into)
    again = [len(set(one) & set(had)) for one, had in zip(targets, histories, strict=True)]
    repeats = {"positives": sum(len(set(one)) for one in targets), "repeats": sum(again)}
    (folder / "queries/test/repeats.json").write_text(json.dumps(repeats))
    return Prepared.open(folder)


def recipe_of(**sections: Any) -> Recipe:
    given = {"name": "hand-made", "source": {"kind": "synthetic"}, "split": {"kind": "leave_one_out"}}
    return Recipe.model_validate(given | sections)


def write_ranking(
    folder: Path, retrieval: Path, store: FeatureStore, *, score_weight: float, num_sources: int = 0
) -> None:
    """An untrained ranker: at -1 it turns the order of retrieval around, at 1 it keeps it."""
    tables = ItemTables(retrieval, store)
    config = RankerConfig(
        **shapes_of(store, tables, users=False),
        cross_layers=1,
        low_rank=0,
        hidden=[4],
        dropout=0.0,
        source_scale=[1.0] * num_sources,
        age_mean=None if store.history_times is None else 0.0,
    )
    model = RankingModel(config, tables)
    with torch.no_grad():
        model.score_weight.fill_(score_weight)
    Ranker(model, Calibration()).save(folder, {})


def write_release(folder: Path, store: FeatureStore, vectors_ND: NDArray[np.float32], recipe: Recipe) -> Path:
    """A release without ranking."""
    folder.mkdir(parents=True)
    shutil.copytree(store.folder, folder / "features")
    write_retrieval(folder / "retrieval", vectors_ND)
    write_index(folder / "index", vectors_ND)
    (folder / "recipe.yaml").write_text(dump_recipe(recipe))
    lineage = Lineage(recipe_sha256="", code="", data="")
    manifest = Manifest(recipe=recipe.name, files={}, metrics={}, lineage=lineage)
    (folder / "manifest.json").write_bytes(manifest.canonical())
    return folder
