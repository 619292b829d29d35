"""A store and rankers of every variant over it, made by hand."""

from pathlib import Path

import numpy as np
import torch

from shortlist.features import CategoricalField, FeatureSchema, FeatureStore, NumericField, TableSchema
from shortlist.features.vocabulary import Vocabulary
from shortlist.ranking.network.inputs import ItemTables, RankerConfig
from shortlist.ranking.network.model import RankingModel
from shortlist.ranking.ranker import Calibration, Ranker, shapes_of
from shortlist.ranking.statistics.item_neighbours import ItemNeighbours
from shortlist.ranking.statistics.item_statistics import ItemStatistics
from shortlist.ranking.statistics.user_knn import UserKNN
from shortlist.recommend.request import RankingRequest

NUM_ROWS, NUM_USERS, DIM = 41, 7, 8


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


def neighbours_of(store: FeatureStore, tables: int = 2) -> ItemNeighbours:
    rng = np.random.default_rng(1)
    rows = rng.integers(0, NUM_ROWS, (tables, NUM_ROWS, 4)).astype(np.int32)
    return ItemNeighbours(rows, rng.random(rows.shape, np.float32) * (rows > 0))


def tables_of(store: FeatureStore, tables: int = 0) -> ItemTables:
    rng = np.random.default_rng(2)
    recent_NR = rng.gamma(1.0, 5.0, (NUM_ROWS, 2)).astype(np.float32)
    alike = UserKNN.of(rng.integers(1, 9, 60), rng.integers(1, NUM_ROWS, 60), NUM_ROWS)
    neighbours = neighbours_of(store, tables) if tables else None
    return ItemTables(store.folder, store, ItemStatistics(neighbours, alike if tables == 1 else None, recent_NR))


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


def make_request(queries=3, candidates=6, seed=0, length=5) -> RankingRequest:
    rng = np.random.default_rng(seed)
    length_E = rng.integers(0, length + 1, queries)
    history = rng.integers(1, NUM_ROWS, (queries, length)) * (np.arange(length) < length_E[:, None])
    rows = rng.integers(1, NUM_ROWS, (queries, candidates))
    padded = np.arange(candidates) >= rng.integers(1, candidates + 1, queries)[:, None]
    return RankingRequest(
        history_EL=history,
        length_E=length_E,
        user_E=rng.integers(0, NUM_USERS, queries),
        categorical={
            "user.town": rng.integers(0, 4, (queries, 1)),
            "clock.hour": rng.integers(0, 25, (queries, 1)),
        },
        numeric_EF=rng.normal(size=(queries, 2)).astype(np.float32),
        query_vector_ED=rng.normal(size=(queries, DIM)).astype(np.float32),
        candidates_EK=np.where(padded, 0, rows),
        retrieval_scores_EK=np.where(padded, -np.inf, rng.normal(size=rows.shape)).astype(np.float32),
    )


def one_of(request: RankingRequest, e: int) -> RankingRequest:
    arrays = {
        name: array[e : e + 1] for name, array in vars(request).items() if name != "categorical" and array is not None
    }
    return RankingRequest(**arrays, categorical={name: rows[e : e + 1] for name, rows in request.categorical.items()})
