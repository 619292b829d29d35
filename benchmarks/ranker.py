"""How long the ranker takes for one request, on one thread: `python -m benchmarks.ranker --items 20000`.

It makes a catalogue of random vectors and attributes, so it measures time and nothing else.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from shortlist.features import CategoricalField, FeatureSchema, FeatureStore, NumericField, TableSchema
from shortlist.features.vocabulary import Vocabulary
from shortlist.ranking.network.attention import NUM_EVENTS
from shortlist.ranking.network.inputs import ItemTables, RankerConfig
from shortlist.ranking.network.model import RankingModel
from shortlist.ranking.ranker import Calibration, Ranker, shapes_of
from shortlist.recipe import Ranking
from shortlist.recommend.request import RankingRequest
from shortlist.statistics.item_neighbours import TABLES, ItemNeighbours
from shortlist.statistics.item_statistics import ItemStatistics
from shortlist.statistics.user_knn import UserKNN


def catalogue(folder: Path, items: int, history_length: int, dim: int, genres: int) -> FeatureStore:
    """A store with two attributes of one value, one of `genres` values unless that is 0, and one number."""
    rng = np.random.default_rng(0)
    num_rows = items + 1
    fields = [
        CategoricalField(name="artist", num_rows=items // 10 + 2, dim=16),
        CategoricalField(name="album", num_rows=items // 4 + 2, dim=16),
    ]
    if genres:
        fields.append(CategoricalField(name="genres", num_rows=30, dim=8, max_values=genres))
    schema = FeatureSchema(
        num_item_rows=num_rows,
        num_user_rows=101,
        history_length=history_length,
        item=TableSchema(categorical=fields, numeric=[NumericField(name="length", mean=0.0, std=1.0)]),
        user=TableSchema(),
        context=TableSchema(),
        clock=["hour", "weekday"],
    )
    for name in ("vocabularies", "items", "users", "history"):
        (folder / name).mkdir(parents=True)
    (folder / "schema.json").write_text(schema.model_dump_json())
    Vocabulary(np.arange(items)).save(folder / "vocabularies/item.npy")
    Vocabulary(np.arange(100)).save(folder / "vocabularies/user.npy")
    arrays = {f"items/{f.name}": rng.integers(0, f.num_rows, (num_rows, f.max_values), np.int32) for f in fields}
    arrays |= {
        "items/numeric": rng.normal(size=(num_rows, 2)).astype(np.float32),
        "items/popularity": rng.integers(0, 1000, num_rows),
        "items/popular": np.ones(num_rows, np.float32),
        "items/titles": np.zeros(0, np.uint8),
        "items/title_offsets": np.zeros(num_rows + 1, np.int64),
        "users/numeric": np.zeros((101, 0), np.float32),
        "history/offsets": np.zeros(102, np.int64),
        "history/items": np.zeros(0, np.int32),
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    vectors = rng.normal(size=(items, dim)).astype(np.float32)
    np.save(folder / "vectors.npy", vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return FeatureStore.open(folder)


def request(items: int, queries: int, candidates: int, history_length: int, dim: int, seed: int) -> RankingRequest:
    rng = np.random.default_rng(seed)
    return RankingRequest(
        history_EL=rng.integers(1, items + 1, (queries, history_length)),
        length_E=np.full(queries, history_length),
        user_E=np.zeros(queries, np.int64),
        categorical={"clock.hour": np.full((queries, 1), 7), "clock.weekday": np.full((queries, 1), 3)},
        numeric_EF=np.zeros((queries, 0), np.float32),
        query_vector_ED=rng.normal(size=(queries, dim)).astype(np.float32),
        candidates_EK=rng.integers(1, items + 1, (queries, candidates)),
        retrieval_scores_EK=rng.random((queries, candidates), np.float32),
    )


def made_counts(items: int, keep: int, half_lives: int, *, ordered: bool) -> ItemStatistics:
    """Drawn ones: where they lie in memory is as bad as it can be. Without order each item has 40 users and each user
    30 items."""
    rng = np.random.default_rng(1)
    recent_NR = rng.gamma(1.0, 5.0, (items + 1, half_lives)).astype(np.float32)
    if not keep:
        return ItemStatistics(recent_NR=recent_NR)
    rows = rng.integers(1, items + 1, (len(TABLES) if ordered else 1, items + 1, keep), np.int32)
    neighbours = ItemNeighbours(rows, rng.random(rows.shape, np.float32))
    if ordered:
        return ItemStatistics(neighbours, recent_NR=recent_NR)
    pairs = 40 * items
    alike = UserKNN.of(rng.integers(0, pairs // 30, pairs), rng.integers(1, items + 1, pairs), items + 1)
    return ItemStatistics(neighbours, alike, recent_NR)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--candidates", type=int, default=500)
    parser.add_argument("--queries", type=int, default=1, help="of one call, as the predictor batches them")
    parser.add_argument("--history", type=int, default=50)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--genres", type=int, default=0, help="values of a third attribute of the items")
    parser.add_argument("--embeddings", action="store_true", help="as `ranking.embeddings` of a recipe")
    parser.add_argument("--attention", action="store_true", help="as `ranking.attention` of a recipe")
    parser.add_argument("--neighbours", type=int, default=Ranking().neighbours, help="as `ranking.neighbours`")
    parser.add_argument("--recent", type=int, default=len(Ranking().recent), help="half-lives of `ranking.recent`")
    parser.add_argument("--no-order", action="store_true", help="as `ordered: false` of a recipe's interactions")
    parser.add_argument("--experts", type=int, default=1, help="as `ranking.experts`")
    parser.add_argument("--calls", type=int, default=2_000)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        store = catalogue(Path(folder) / "features", given.items, given.history, given.dim, given.genres)
        statistics = made_counts(given.items, given.neighbours, given.recent, ordered=not given.no_order)
        tables = ItemTables(store.folder, store, statistics)
        ranking = Ranking()
        config = RankerConfig(
            **shapes_of(store, tables, users=False),
            embeddings=given.embeddings,
            attention=given.attention,
            neighbours=given.neighbours,
            ordered=not given.no_order,
            num_events=given.history if given.no_order else NUM_EVENTS,
            recent_mean=[1.0] * given.recent,
            recent_std=[1.0] * given.recent,
            num_experts=given.experts,
            cross_layers=ranking.cross_layers,
            low_rank=ranking.low_rank,
            hidden=ranking.hidden,
            dropout=ranking.dropout,
        )
        config = config.model_copy(update={"near_scale": [1.0] * config.num_near})
        ranker = Ranker(RankingModel(config, tables), Calibration())
        shape = (given.queries, given.candidates, given.history, given.dim)
        requests = [request(given.items, *shape, seed) for seed in range(50)]
        bodies = [one.to_bytes("r" * 64) for one in requests]
        for one in requests:
            ranker.score(one)
        score_ms, parse_ms = [], []
        for call in range(given.calls):
            start = time.perf_counter()
            parsed, _ = RankingRequest.from_bytes(bodies[call % len(bodies)])
            parse_ms.append(1e3 * (time.perf_counter() - start))
            start = time.perf_counter()
            ranker.score(parsed)
            score_ms.append(1e3 * (time.perf_counter() - start))
    found = {
        name: {
            "min": round(min(values), 3),
            "p50": round(float(np.quantile(values, 0.5)), 3),
            "p99": round(float(np.quantile(values, 0.99)), 3),
        }
        for name, values in {"score_ms": score_ms, "parse_ms": parse_ms}.items()
    }
    width = ranker.model.cross_logit.in_features
    print(json.dumps({**vars(given), "input_width": width, "body_bytes": len(bodies[0]), **found}))


if __name__ == "__main__":
    main()
