"""The index: the size chooses it, the same input gives the same bytes, and what it misses is measured."""

import json
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from hand_made import item_vectors, recipe_of, write_prepared, write_retrieval

from shortlist.dataset.prepared import Prepared
from shortlist.features import FeatureStore
from shortlist.recipe import Index
from shortlist.retrieval.build_index import build_index, choose_factory
from shortlist.retrieval.faiss_index import make_index
from shortlist.retrieval.index_quality import Point, choose_point, measure_index
from shortlist.retrieval.retrieve import Retriever

NUM_ITEMS = 3_000


def built(tmp_path: Path, num_items: int = NUM_ITEMS, out: str = "index", **index: Any) -> dict[str, Any]:
    """Build over random vectors; what index.json says."""
    rng = np.random.default_rng(0)
    if not (tmp_path / "prepared").exists():
        histories = [rng.integers(1, num_items + 1, 8).tolist() for _ in range(60)]
        write_prepared(tmp_path / "prepared", histories, [[1]] * 60, num_items)
        write_retrieval(tmp_path / "retrieval", item_vectors(num_items, 16))
    build_index(recipe_of(index=index), Prepared.open(tmp_path / "prepared"), tmp_path / "retrieval", tmp_path / out)
    settings: dict[str, Any] = json.loads((tmp_path / out / "index.json").read_text())
    return settings


@pytest.mark.parametrize(
    ("num_items", "factory"),
    [
        (2, "Flat"),
        (49_999, "Flat"),
        (50_000, "IVF512,SQfp16"),
        (1_000_000, "IVF4096,SQfp16"),
        (9_000_000, "IVF16384,SQfp16"),
    ],
)
def test_the_size_of_the_catalogue_chooses_the_index(num_items: int, factory: str) -> None:
    assert choose_factory(Index(), num_items) == factory


def test_a_small_catalogue_is_never_cut_into_lists_that_cannot_be_trained() -> None:
    assert choose_factory(Index(exact_below=0), 20) == "Flat"
    assert choose_factory(Index(exact_below=0), 130) == "IVF2,SQfp16"


def test_the_recipes_factory_is_taken() -> None:
    assert choose_factory(Index(factory="HNSW32"), 10) == "HNSW32"


def test_an_exact_index_finds_everything_and_is_served(tmp_path: Path) -> None:
    settings = built(tmp_path)
    assert settings["factory"] == "Flat"
    assert settings["recall_at_10"] == settings["recall_at_100"] == 1
    assert settings["queries_from"] == "validation"
    store = FeatureStore.open(tmp_path / "prepared/features")
    searched = Retriever.open(tmp_path / "retrieval", tmp_path / "index", store)
    assert searched.num_items == NUM_ITEMS


def test_equal_vectors_stand_for_one_another(tmp_path: Path) -> None:
    vectors = np.repeat(item_vectors(20, 16), 20, axis=0)
    write_prepared(tmp_path / "prepared", [[1, 2]] * 4, [[3]] * 4, 400)
    write_retrieval(tmp_path / "retrieval", vectors)
    assert built(tmp_path)["recall_at_10"] == 1


def test_lists_are_measured_over_nprobe_and_the_recipes_is_served(tmp_path: Path) -> None:
    settings = built(tmp_path, exact_below=10, nprobe=8, min_recall=0.0)
    assert settings["factory"] == "IVF32,SQfp16"
    assert (settings["nprobe"], settings["num_lists"]) == (8, 32)
    assert 0.5 < settings["recall_at_100"] < 1
    store = FeatureStore.open(tmp_path / "prepared/features")
    Retriever.open(tmp_path / "retrieval", tmp_path / "index", store)


def test_recall_rises_with_nprobe_and_agrees_with_its_definition() -> None:
    vectors, asked = item_vectors(NUM_ITEMS, 16), item_vectors(50, 16, seed=5)
    index = faiss.index_factory(16, "IVF32,Flat", faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.add(vectors)
    points = measure_index(index, vectors, asked, [3])
    assert [point.nprobe for point in points] == [1, 2, 3, 4, 8, 16, 32]
    recalls = [point.recall_at_100 for point in points]
    assert recalls == sorted(recalls)
    assert recalls[-1] == 1
    order = np.argsort(-(asked @ vectors.T), axis=1)
    for num_probes in (1, 3):  # one list holds fewer than 100 items
        index.nprobe = num_probes
        by_ids = {
            k: np.mean([len(set(a) & set(b)) / k for a, b in zip(order[:, :k], index.search(asked, k)[1], strict=True)])
            for k in (10, 100)
        }
        point = next(point for point in points if point.nprobe == num_probes)
        assert point.recall_at_10 == pytest.approx(by_ids[10], abs=1e-6)
        assert point.recall_at_100 == pytest.approx(by_ids[100], abs=1e-6)


def test_auto_visits_the_fewest_lists_that_find_enough() -> None:
    curve = {1: 0.5, 8: 0.985, 16: 0.99, 32: 0.9995}
    points = [Point(nprobe, 1.0, recall, 100.0) for nprobe, recall in curve.items()]
    assert choose_point(points, "auto").nprobe == 16
    assert choose_point(points[:2], "auto").nprobe == 8
    assert choose_point([*points[:2], Point(64, 1.0, 0.988, 9.0)], "auto").nprobe == 8  # more lists hardly find more
    assert choose_point(points, 32).nprobe == 32
    assert choose_point(points, 64).nprobe == 32  # an index has no more lists


def test_auto_reaches_its_recall_and_is_served(tmp_path: Path) -> None:
    settings = built(tmp_path, exact_below=10)
    assert settings["recall_at_100"] >= 0.99
    index = faiss.try_extract_index_ivf(faiss.read_index(str(tmp_path / "index/index.faiss")))
    assert index.nprobe == settings["nprobe"]


@pytest.mark.parametrize("factory", ["auto", "HNSW8", "Flat"])
def test_the_same_input_gives_the_same_bytes(tmp_path: Path, factory: str) -> None:
    for out, threads in (("one", 1), ("two", 2)):
        faiss.omp_set_num_threads(threads)
        built(tmp_path, out=out, factory=factory, exact_below=10, min_recall=0.0)
        assert faiss.omp_get_max_threads() == threads
    for name in ("index.faiss", "index.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_the_speed_is_told_but_not_released(tmp_path: Path) -> None:
    settings = built(tmp_path, exact_below=10, nprobe=32)
    recipe = recipe_of(index={"exact_below": 10, "nprobe": 32})
    step = build_index(recipe, Prepared.open(tmp_path / "prepared"), tmp_path / "retrieval", tmp_path / "again")
    assert step.metrics["index_queries_per_second"] > 0
    assert len(step.details["curve"]) > 3
    assert not any("second" in name for name in settings)
    json.dumps(step.details)


def test_too_low_a_recall_stops_and_names_the_nprobe_that_is_enough(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"less than index.min_recall 0.9; set index.nprobe to (16|32), which finds"):
        built(tmp_path, exact_below=10, nprobe=1)
    assert not (tmp_path / "index").exists()


def test_too_low_a_recall_at_every_nprobe_names_a_finer_factory(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no nprobe is enough: use a finer index.factory"):
        built(tmp_path, factory="IVF4,PQ2x4")


def test_a_word_that_is_no_factory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"index.factory 'FLAT!' is not a FAISS index"):
        built(tmp_path, factory="FLAT!")


@pytest.mark.parametrize(("factory", "part"), [("IVF4,PQ8", "PQ8"), ("OPQ8_16,Flat", "OPQ8"), ("OPQ8,PQ8x4", "OPQ8")])
def test_a_quantizer_says_how_many_vectors_it_needs(factory: str, part: str) -> None:
    vectors = np.random.default_rng(0).random((40, 32), np.float32)
    with pytest.raises(ValueError, match=rf"{factory}': {part} learns 256 centroids .* there are 40 items; use 'auto'"):
        make_index(factory, vectors, 0)
    assert make_index("IVF4,PQ8x4", vectors, 0).ntotal == 40


@pytest.mark.parametrize(
    ("factory", "reason"),
    [
        ("PQ7", "dimension of the vector .* should be a multiple of"),
        ("FLAT!", "could not parse index string"),
        ("LSH", "it cannot be searched by inner product"),
        ("PCA64,Flat", "cannot output 64 dimensions from 32"),
        ("IVF0,Flat", "0 lists for 300 items"),
    ],
)
def test_a_reason_of_faiss_is_told_without_its_source_code(factory: str, reason: str) -> None:
    vectors = np.random.default_rng(0).random((300, 32), np.float32)
    with pytest.raises(ValueError, match=rf"'{factory}' .*{reason}") as caught:
        make_index(factory, vectors, 0)
    assert not [word for word in ("faiss::", ".cpp", "METRIC_", "Error") if word in str(caught.value)]


def test_more_lists_than_items_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="4096 lists for 50 items; IVF needs 1 to 50"):
        built(tmp_path, 50, factory="IVF4096,Flat")


def test_another_metric_than_the_trainings_is_refused(tmp_path: Path) -> None:
    write_prepared(tmp_path / "prepared", [[1, 2]], [[3]], 5)
    write_retrieval(tmp_path / "retrieval", item_vectors(5), metric="dot")
    with pytest.raises(ValueError, match=r"exported for the metric dot, but retrieval.metric is cosine"):
        build_index(recipe_of(), Prepared.open(tmp_path / "prepared"), tmp_path / "retrieval", tmp_path / "index")


def test_vectors_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    write_prepared(tmp_path / "prepared", [[1, 2]], [[3]], 5)
    vectors = item_vectors(5)
    vectors[3, 1] = np.nan
    write_retrieval(tmp_path / "retrieval", vectors)
    with pytest.raises(ValueError, match="not finite, since the training diverged"):
        build_index(recipe_of(), Prepared.open(tmp_path / "prepared"), tmp_path / "retrieval", tmp_path / "index")


def test_without_validation_queries_items_are_asked(tmp_path: Path) -> None:
    write_prepared(tmp_path / "prepared", [[1, 2]], [[]], 5)
    write_retrieval(tmp_path / "retrieval", item_vectors(5))
    assert built(tmp_path)["queries_from"] == "items"
