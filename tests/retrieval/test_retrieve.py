"""Retrieval: exclusions are exact, answers are complete, and folders that do not belong together are refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import faiss
import numpy as np
import pytest
from hand_made import context_of, item_vectors, write_index, write_retrieval, write_store
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shortlist.features import FeatureStore, Queries
from shortlist.features.availability import FOREVER, Availability
from shortlist.retrieval import retrieve
from shortlist.retrieval.onnx_query_tower import OnnxQueryTower
from shortlist.retrieval.retrieve import Retriever

NUM_ITEMS = 300
VECTORS = item_vectors(NUM_ITEMS)
FACTORIES = ["Flat", "IVF16,SQ8", "IVF16_HNSW8,SQ8", "IVF16,Flat", "OPQ4,IVF16,Flat", "HNSW8", "IVF16,PQ4x4fs,RFlat"]


def retriever(tmp_path: Path, factory: str = "Flat", nprobe: int = 4) -> Retriever:
    store = write_store(tmp_path / "features", [[1, 2, 3]], NUM_ITEMS)
    write_retrieval(tmp_path / "retrieval", VECTORS)
    write_index(tmp_path / "index", VECTORS, factory=factory, nprobe=nprobe)
    return Retriever.open(tmp_path / "retrieval", tmp_path / "index", store)


def ask(store: FeatureStore, histories: list[list[int]]) -> Queries:
    items = np.array([row for one in histories for row in one], np.int64)
    ends = np.cumsum([len(one) for one in histories])
    starts = ends - [len(one) for one in histories]
    return store.queries(np.zeros(len(histories), np.int64), items, starts, ends, context_of(len(histories)))


def by_force(vectors: NDArray[np.float32], query: NDArray[np.float32], k: int, seen: list[int]) -> NDArray[np.float32]:
    """The k best scores of what was not seen, by the definition."""
    rows = [row for row in range(1, len(vectors) + 1) if row not in set(seen)]
    scores = sorted((float(vectors[row - 1] @ query) for row in rows), reverse=True)[:k]
    return np.array(scores + [-np.inf] * (k - len(scores)), np.float32)


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    return retriever(tmp_path_factory.mktemp("exact"))


@given(
    k=st.integers(1, NUM_ITEMS + 20),
    seen=st.lists(st.lists(st.integers(0, NUM_ITEMS), max_size=NUM_ITEMS), min_size=1, max_size=5),
    seed=st.integers(0, 100),
)
@settings(max_examples=60, deadline=None)
def test_an_exact_index_answers_like_brute_force(exact: Retriever, k: int, seen: list[list[int]], seed: int) -> None:
    queries = item_vectors(len(seen), seed=seed + 1)
    rows, scores = exact.search(queries, k, [np.array(one, np.int64) for one in seen])
    for e, one in enumerate(seen):
        np.testing.assert_allclose(scores[e], by_force(VECTORS, queries[e], k, one), atol=1e-5)
        found = rows[e][rows[e] > 0]
        assert len(set(found)) == len(found) == min(k, NUM_ITEMS - len(set(one) - {0}))
        assert not set(found.tolist()) & set(one)
        np.testing.assert_allclose(VECTORS[found - 1] @ queries[e], scores[e][: len(found)], atol=1e-5)


@pytest.mark.parametrize("factory", FACTORIES)
@pytest.mark.parametrize("num_seen", [0, 3, 40, 280, NUM_ITEMS])
def test_every_index_gives_k_items_that_were_not_seen(tmp_path: Path, factory: str, num_seen: int) -> None:
    searched = retriever(tmp_path, factory, nprobe=1)
    queries = item_vectors(4, seed=9)
    best = np.argsort(-(queries @ VECTORS.T), axis=1) + 1
    seen = [best[e, :num_seen] for e in range(4)]
    rows, scores = searched.search(queries, 20, seen)
    for e in range(4):
        found = rows[e][rows[e] > 0]
        assert len(set(found)) == min(20, NUM_ITEMS - num_seen)
        assert not set(found) & set(seen[e])
        assert np.all(rows[e, len(found) :] == 0)
        assert np.all(np.diff(scores[e][: len(found)]) <= 0)
        assert np.all(np.isneginf(scores[e, len(found) :]))


def test_a_query_gets_the_same_answer_alone_and_among_others(exact: Retriever) -> None:
    queries = item_vectors(6, seed=3)
    seen = [np.arange(1, 1 + 10 * e) for e in range(6)]
    together = exact.search(queries, 7, seen)[0]
    alone = [exact.search(queries[e : e + 1], 7, seen[e : e + 1])[0][0] for e in range(6)]
    np.testing.assert_array_equal(together, alone)


def test_the_vectors_of_queries_are_the_towers(tmp_path: Path) -> None:
    searched = retriever(tmp_path)
    store = FeatureStore.open(tmp_path / "features")
    histories = [[1, 2, 3], [7], [5, 6, 7, 8, 9, 10, 11, 12]]
    means = np.stack([VECTORS[np.array(one[-6:]) - 1].sum(axis=0) for one in histories])
    expected = means / np.linalg.norm(means, axis=1, keepdims=True)
    np.testing.assert_allclose(searched.embed(ask(store, histories)), expected, atol=1e-6)


def test_a_query_does_not_see_what_follows_it_in_its_window(tmp_path: Path) -> None:
    searched = retriever(tmp_path)
    history = np.array([[1, 2, 3, 4, 0, 0]])
    queries = Queries(
        history,
        np.array([0, 0]),
        np.array([2, 4]),
        np.zeros(2, np.int64),
        context_of(2).categorical,
        context_of(2).numeric_EF,
    )
    store = FeatureStore.open(tmp_path / "features")
    np.testing.assert_array_equal(searched.embed(queries), searched.embed(ask(store, [[1, 2], [1, 2, 3, 4]])))
    np.testing.assert_array_equal(history, [[1, 2, 3, 4, 0, 0]])


def test_many_queries_are_embedded_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searched = retriever(tmp_path)
    store = FeatureStore.open(tmp_path / "features")
    queries = ask(store, [[row, row + 1] for row in range(1, 60)])
    whole = searched.embed(queries)
    monkeypatch.setattr("shortlist.retrieval.onnx_query_tower._EMBED_FLOATS", 6 * 8 * 7)
    np.testing.assert_allclose(searched.embed(queries), whole, atol=1e-6)


def test_the_index_is_mapped_and_not_read(tmp_path: Path) -> None:
    retriever(tmp_path, "IVF16_HNSW8,SQ8")
    assert "index/index.faiss" in Path(f"/proc/{os.getpid()}/maps").read_text()


def test_an_index_of_another_metric_is_refused(tmp_path: Path) -> None:
    retriever(tmp_path)
    settings = json.loads((tmp_path / "index/index.json").read_text()) | {"metric": "dot"}
    (tmp_path / "index/index.json").write_text(json.dumps(settings))
    with pytest.raises(ValueError, match=r"searches by dot, but the tower of .* for cosine; build the index"):
        reopen(tmp_path)


def test_an_index_of_distances_is_refused(tmp_path: Path) -> None:
    retriever(tmp_path)
    index = faiss.IndexFlatL2(8)
    index.add(VECTORS)
    faiss.write_index(index, str(tmp_path / "index/index.faiss"))
    with pytest.raises(ValueError, match="does not search by inner product"):
        reopen(tmp_path)


def test_folders_of_different_runs_are_refused(tmp_path: Path) -> None:
    retriever(tmp_path)
    (tmp_path / "index/index.faiss").unlink()
    (tmp_path / "index/index.json").unlink()
    (tmp_path / "index").rmdir()
    write_index(tmp_path / "index", VECTORS[:200])
    with pytest.raises(ValueError, match="200 vectors of width 8, but the features have 300 items"):
        reopen(tmp_path)


RETRIEVAL_FILES = ["query_tower.onnx", "retrieval.json", "vectors.npy", "item_inputs.npy"]


@pytest.mark.parametrize(
    "broken", [*(f"retrieval/{name}" for name in RETRIEVAL_FILES), "index/index.faiss", "index/index.json"]
)
@pytest.mark.parametrize("how", ["missing", "empty", "cut", "noise"])
def test_a_broken_file_is_a_clear_error(tmp_path: Path, broken: str, how: str) -> None:
    retriever(tmp_path, "IVF16_HNSW8,SQ8")
    path = tmp_path / broken
    whole = path.read_bytes()
    path.unlink()
    if how != "missing":
        path.write_bytes({"empty": b"", "cut": whole[: len(whole) // 2], "noise": b"\x93 no such thing"}[how])
    with pytest.raises(ValueError, match=str(path.parent)):
        reopen(tmp_path)


def test_a_tower_that_wants_other_inputs_is_refused(tmp_path: Path) -> None:
    retriever(tmp_path)
    schema = json.loads((tmp_path / "features/schema.json").read_text()) | {"clock": []}
    (tmp_path / "features/schema.json").write_text(json.dumps(schema))
    store = FeatureStore.open(tmp_path / "features")
    with pytest.raises(ValueError, match=r"the tower needs .*clock_hour"):
        OnnxQueryTower.open(tmp_path / "retrieval", store)


def reopen(tmp_path: Path) -> Retriever:
    return Retriever.open(tmp_path / "retrieval", tmp_path / "index", FeatureStore.open(tmp_path / "features"))


def test_it_needs_no_more_than_a_transformer_has() -> None:
    heavy = "{'torch', 'polars', 'pyarrow', 'scipy'} & set(sys.modules)"
    code = f"import sys, shortlist.retrieval.retrieve; print({heavy} or 'light')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "light"


class TestAvailability:
    """What did not exist when asked, or is unknown to the tower, does not come back, from whatever index."""

    TIMES = np.array([0, 10, 20, 30])

    def searched(self, tmp_path: Path, factory: str, share: float) -> Retriever:
        """At time 10 `share` of the items are there, at 20 all, at 30 all but one in three; a tenth is never known."""
        rng = np.random.default_rng(5)
        from_N = np.where(rng.random(NUM_ITEMS + 1) < share, 10, 20)
        until_N = np.where(np.arange(NUM_ITEMS + 1) % 3 == 0, 30, FOREVER)
        write_store(tmp_path / "features", [[1, 2, 3]], NUM_ITEMS, available=Availability(from_N, until_N))
        write_retrieval(tmp_path / "retrieval", VECTORS)
        np.save(tmp_path / "retrieval/known.npy", np.arange(NUM_ITEMS + 1) % 10 != 0)
        write_index(tmp_path / "index", VECTORS, factory=factory)
        return Retriever.open(tmp_path / "retrieval", tmp_path / "index", FeatureStore.open(tmp_path / "features"))

    def away(self, searched: Retriever, time: int) -> set[int]:
        rows = np.arange(NUM_ITEMS + 1)
        there = searched.candidates.available.among(rows, time) & (rows % 10 != 0)
        return set(rows[~there].tolist())

    @pytest.fixture(autouse=True)
    def searched_in_lists(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Otherwise a catalogue as small as this one is compared whole."""
        monkeypatch.setattr(retrieve, "_FEW", 0)

    @pytest.mark.parametrize("factory", FACTORIES)
    @pytest.mark.parametrize("share", [0.02, 0.9])
    @pytest.mark.parametrize("num_seen", [0, 3, 40])
    def test_every_index_gives_k_of_what_is_there(
        self, tmp_path: Path, factory: str, share: float, num_seen: int
    ) -> None:
        searched = self.searched(tmp_path, factory, share)
        queries = item_vectors(len(self.TIMES), seed=9)
        seen = [np.argsort(-(VECTORS @ query))[:num_seen] + 1 for query in queries]
        rows, scores = searched.search(queries, 20, seen, self.TIMES)
        for e, time in enumerate(self.TIMES.tolist()):
            away = self.away(searched, time) | set(seen[e].tolist())
            found = rows[e][rows[e] > 0]
            assert len(set(found)) == len(found) == min(20, NUM_ITEMS + 1 - len(away | {0}))
            assert not set(found.tolist()) & away
            assert np.all(np.isneginf(scores[e, len(found) :]))
            if factory == "Flat" or (share == 0.02 and time == 10):  # so few that all are compared
                best = by_force(VECTORS, queries[e], 20, sorted(away))
                if factory.startswith(("Flat", "IVF16")):
                    np.testing.assert_allclose(scores[e], best, atol=1e-5)

    @pytest.mark.parametrize("factory", ["IVF16,SQ8", "IVF16,Flat"])
    def test_few_candidates_cost_no_recall(self, tmp_path: Path, factory: str) -> None:
        searched = self.searched(tmp_path, factory, share=0.4)
        queries = item_vectors(200, seed=3)

        def recall(time: int) -> float:
            rows, _ = searched.search(queries, 10, None, np.full(len(queries), time))
            best = [by_force(VECTORS, query, 10, sorted(self.away(searched, time)))[-1] for query in queries]
            return float(np.mean([VECTORS[r - 1] @ q >= b - 0.02 for r, q, b in zip(rows, queries, best, strict=True)]))

        assert recall(10) >= recall(20) - 0.02  # 40 % of the items, and all

    def test_lists_that_the_graph_does_not_reach_are_searched(self, tmp_path: Path) -> None:
        """Clustered centres, as tastes are, leave a graph over them in pieces."""
        rng, count = np.random.default_rng(1), 12_000
        centres = 8 * rng.normal(size=(40, 8))
        centre = rng.integers(40, size=count)
        vectors = (centres[centre] + rng.normal(size=(count, 8))).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        from_N = np.append(100, np.where(centre < 8, 0, 100))  # far from what is asked
        store = write_store(
            tmp_path / "features", [[1]], count, available=Availability(from_N, np.full(count + 1, FOREVER))
        )
        write_retrieval(tmp_path / "retrieval", vectors)
        write_index(tmp_path / "index", vectors, factory="IVF256_HNSW4,Flat", nprobe=32)
        searched = Retriever.open(tmp_path / "retrieval", tmp_path / "index", store)
        queries = vectors[np.flatnonzero(centre >= 8)[:50]]
        rows, scores = searched.search(queries, 10, None, np.zeros(50, np.int64))
        assert (from_N[rows] == 0).all()
        left_I = np.flatnonzero(from_N[1:] == 0)
        best = np.sort(queries @ vectors[left_I].T, axis=1)[:, :-11:-1]
        assert np.isclose(scores, best, atol=1e-5).mean() >= 0.99  # 256 lists of 12,000 items are asked for

    def test_without_a_time_what_is_known_comes_back(self, tmp_path: Path) -> None:
        rows, _ = self.searched(tmp_path, "Flat", share=0.5).search(item_vectors(2), NUM_ITEMS)
        assert {*rows.ravel().tolist()} == {0, *(row for row in range(1, NUM_ITEMS + 1) if row % 10)}

    def test_a_file_of_another_catalogue_is_refused(self, tmp_path: Path) -> None:
        self.searched(tmp_path, "Flat", share=0.5)
        np.save(tmp_path / "retrieval/known.npy", np.ones(7, bool))
        with pytest.raises(ValueError, match=r"known.npy: the array is bool \(7,\), but .* 301 item rows"):
            Retriever.open(tmp_path / "retrieval", tmp_path / "index", FeatureStore.open(tmp_path / "features"))
