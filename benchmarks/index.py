"""How long retrieval takes and what the index misses: `python -m benchmarks.index --items 1000000`.

Items lie in clusters, as tastes do, and a history comes from a few of them; the query tower is one as the music recipe
trains it, with random weights. So it measures time and the index, never the quality of answers.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import torch
from numpy.typing import NDArray

from shortlist.features import Context, FeatureSchema, FeatureStore, Queries, TableSchema
from shortlist.features.availability import ALWAYS, FOREVER, Availability
from shortlist.features.vocabulary import Vocabulary
from shortlist.recipe import Features, Index, Retrieval
from shortlist.retrieval.export import write_query_tower
from shortlist.retrieval.faiss_index import choose_factory, make_index
from shortlist.retrieval.index_quality import choose_point, measure_index
from shortlist.retrieval.retrieve import Retriever
from shortlist.retrieval.towers import TwoTower

_DIM, _LENGTH, _CANDIDATES = 64, 50, 500
_DEPTH, _FILTERED_QUERIES = 100, 200


def clustered(num_items: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Unit vectors [N, D] around 2,000 centres, and the centre of each."""
    centres = rng.normal(size=(2_000, _DIM)).astype(np.float32)
    centre = rng.integers(len(centres), size=num_items)
    vectors = centres[centre] + 0.7 * rng.normal(size=(num_items, _DIM)).astype(np.float32)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), centre


def write(folder: Path, vectors_ND: NDArray[np.float32]) -> FeatureStore:
    """A store without attributes and an export whose item inputs are the vectors."""
    num_rows = len(vectors_ND) + 1
    features, retrieval = folder / "features", folder / "retrieval"
    for name in ("vocabularies", "items", "users", "history"):
        (features / name).mkdir(parents=True)
    Vocabulary.of(np.arange(1, num_rows)).save(features / "vocabularies/item.npy")
    Vocabulary.of(np.arange(1, 2)).save(features / "vocabularies/user.npy")
    arrays = {
        "items/numeric": np.zeros((num_rows, 0), np.float32),
        "items/popularity": np.ones(num_rows, np.int64),
        "items/popular": np.ones(num_rows, np.float32),
        "items/titles": np.zeros(0, np.uint8),
        "items/title_offsets": np.zeros(num_rows + 1, np.int64),
        "users/numeric": np.zeros((2, 0), np.float32),
        "history/offsets": np.zeros(3, np.int64),
        "history/items": np.zeros(0, np.int32),
    }
    for name, array in arrays.items():
        np.save(features / f"{name}.npy", array)
    nothing = TableSchema()
    schema = FeatureSchema(
        num_item_rows=num_rows, num_user_rows=2, history_length=_LENGTH, item=nothing, user=nothing, context=nothing
    )
    (features / "schema.json").write_text(schema.model_dump_json())
    retrieval.mkdir()
    torch.manual_seed(0)
    model = TwoTower(schema, Features(history_length=_LENGTH), Retrieval(dim=_DIM)).eval()
    write_query_tower(model, schema, retrieval / "query_tower.onnx")
    np.save(retrieval / "item_inputs.npy", np.concatenate([np.zeros((1, _DIM), np.float32), vectors_ND]))
    np.save(retrieval / "vectors.npy", vectors_ND)
    (retrieval / "retrieval.json").write_text(json.dumps({"metric": "cosine", "dim": _DIM}))
    return FeatureStore.open(features)


def queries(count: int, centre: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Histories of item rows [count, L], each from five centres."""
    order = np.argsort(centre, kind="stable")
    starts = np.searchsorted(centre[order], np.arange(centre.max() + 1))
    liked = rng.integers(len(starts), size=(count, 5))
    chosen = starts[np.take_along_axis(liked, rng.integers(5, size=(count, _LENGTH)), axis=1)]
    return order[np.minimum(chosen + rng.integers(20, size=chosen.shape), len(order) - 1)] + 1


def timed(label: str, ask: Callable[[int], object], count: int) -> None:
    """Print the median and the 99th percentile of `ask(i)`."""
    for i in range(20):
        ask(i)
    seconds = np.empty(count)
    for i in range(count):
        start = time.perf_counter()
        ask(i)
        seconds[i] = time.perf_counter() - start
    p50, p99 = 1e3 * np.quantile(seconds, [0.5, 0.99])
    print(f"{label:44} p50 {p50:6.3f} ms   p99 {p99:6.3f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, nargs="+", default=[20_000, 1_000_000])
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--factories", nargs="+", default=["auto"], help="several of the recipe's index.factory")
    given = parser.parse_args()
    for num_items in given.items:
        rng = np.random.default_rng(0)
        vectors, centre = clustered(num_items, rng)
        histories = queries(given.queries, centre, rng)
        for factory in given.factories:
            with tempfile.TemporaryDirectory() as folder:
                measure(Path(folder), vectors, histories, rng, Index(factory=factory))


def measure(
    folder: Path,
    vectors_ND: NDArray[np.float32],
    histories: NDArray[np.int64],
    rng: np.random.Generator,
    chosen: Index,
) -> None:
    count = len(vectors_ND)
    store = write(folder, vectors_ND)
    factory = choose_factory(chosen, count)
    start = time.perf_counter()
    index = make_index(factory, vectors_ND, seed=0)
    built = time.perf_counter() - start
    asked = vectors_ND[histories[:, -5:] - 1].sum(axis=1)
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    points = measure_index(index, vectors_ND, asked)
    served = choose_point(points, "auto")
    (folder / "index").mkdir()
    faiss.write_index(index, str(folder / "index/index.faiss"))
    (folder / "index/index.json").write_text(json.dumps({"metric": "cosine", "nprobe": served.nprobe}))
    size = (folder / "index/index.faiss").stat().st_size / 2**20
    print(f"\n{count} items of width {_DIM}: {factory}, built in {built:.1f} s, {size:.0f} MB")
    for point in points:
        print(
            f"  nprobe {point.nprobe:4}: recall@10 {point.recall_at_10:.3f}, recall@100 {point.recall_at_100:.3f}, "
            f"{point.queries_per_second:.0f} queries a second for 100"
        )
    print(f"  nprobe auto: {served.nprobe}")
    retriever = Retriever.open(folder / "retrieval", folder / "index", store, threads=1)
    nobody, nothing = np.zeros(1, np.int64), Context({}, np.zeros((1, 0), np.float32))

    def query(i: int) -> Queries:
        history = histories[i % len(histories)]
        return store.queries(nobody, history, nobody, np.array([len(history)]), nothing)

    def answer(i: int, seen: NDArray[np.int64]) -> None:
        retriever.search(retriever.embed(query(i)), _CANDIDATES, [seen])

    timed("features of one query", query, 300)
    timed("features, query vector", lambda i: retriever.embed(query(i)), 300)
    timed(f"whole retrieval of {_CANDIDATES}", lambda i: answer(i, histories[i % len(histories)]), 300)
    for num_seen in (1_000, 10_000):
        seen = rng.permutation(count)[:num_seen] + 1
        timed(f"whole retrieval without {num_seen} seen", lambda i, seen=seen: answer(i, seen), 300)
    vectors_QD = np.concatenate([retriever.embed(query(i)) for i in range(_FILTERED_QUERIES)])
    for left in (50, 1_000, count // 100, count // 10, count // 2):
        filtered(folder, store, vectors_ND, vectors_QD, np.sort(rng.permutation(count)[:left]))


def filtered(
    folder: Path,
    store: FeatureStore,
    vectors_ND: NDArray[np.float32],
    vectors_QD: NDArray[np.float32],
    left_L: NDArray[np.int64],
) -> None:
    """Print the recall and the time of a search in which a filter leaves only the items at `left_L`."""
    until_N = np.full(len(vectors_ND) + 1, ALWAYS)
    until_N[left_L + 1] = FOREVER
    available = Availability(np.full(len(until_N), ALWAYS), until_N)
    retriever = Retriever.open(folder / "retrieval", folder / "index", store, threads=1, available=available)
    now, k = np.zeros(1, np.int64), min(_DEPTH, len(left_L))

    def search(i: int) -> NDArray[np.int64]:
        return retriever.search(vectors_QD[[i % len(vectors_QD)]], k, None, now)[0][0]

    exact = left_L[np.argsort(-(vectors_QD @ vectors_ND[left_L].T), axis=1, kind="stable")[:, :k]] + 1
    recall = np.mean([len(np.intersect1d(search(i), exact[i])) / k for i in range(len(vectors_QD))])
    timed(f"{k} of {len(left_L):,} that a filter leaves: recall {recall:.3f}", search, 100)


if __name__ == "__main__":
    main()
