"""The comparison of indexes: what it measures holds against exact search, and the smallest that meets a target wins."""

from dataclasses import replace
from pathlib import Path

import faiss
import numpy as np
import pytest
from hand_made import item_vectors, recipe_of, write_prepared, write_retrieval

from shortlist.dataset.prepared import Prepared
from shortlist.features import FeatureStore
from shortlist.recipe.yaml_text import load_yaml
from shortlist.retrieval.build_index import build_index
from shortlist.retrieval.index_compare import (
    Kind,
    Measured,
    Target,
    cheapest,
    compare,
    list_kinds,
    nearest,
    recipe_line,
)
from shortlist.retrieval.retrieve import Retriever

NUM_ITEMS, DIM = 600, 16
VECTORS = item_vectors(NUM_ITEMS, DIM)
KINDS = list_kinds(NUM_ITEMS, DIM)


@pytest.fixture(scope="module")
def found() -> list[Measured]:
    return compare(VECTORS, item_vectors(40, DIM, seed=5), KINDS, seed=0, sample=NUM_ITEMS)


def named(found: list[Measured], family: str) -> Measured:
    """The measurement of a family with its most thorough setting."""
    return [one for one in found if one.family == family][-1]


def test_exact_search_finds_everything(found: list[Measured]) -> None:
    assert (named(found, "Flat").recall_at_10, named(found, "Flat").recall_at_100) == (1, 1)
    assert named(found, "IVF,Flat").recall_at_100 == 1  # all lists are searched


def test_every_kind_is_measured_with_refine_where_it_holds_codes(found: list[Measured]) -> None:
    families = {one.family for one in found}
    codes = {"SQ8", "RaBitQ", "PQ16np", "IVF,SQ8", "IVF,RaBitQ", "IVF,PQ16np", "HNSW,SQ8"}
    others = {"Flat", "SQfp16", "IVF,Flat", "IVF,SQfp16", "HNSW"}
    assert families == others | codes | {f"{name}+refine" for name in codes}


@pytest.mark.parametrize("family", ["RaBitQ", "IVF,RaBitQ", "SQ8"])
def test_refine_finds_more_in_a_larger_file(found: list[Measured], family: str) -> None:
    plain, refined = named(found, family), named(found, f"{family}+refine")
    assert refined.recall_at_100 > plain.recall_at_100
    assert refined.mb == pytest.approx(plain.mb + named(found, "Flat").mb, abs=0.002)


def test_recall_rises_with_nprobe(found: list[Measured]) -> None:
    recalls = [one.recall_at_100 for one in found if one.family == "IVF,Flat"]
    assert recalls == sorted(recalls)
    assert recalls[0] < 1


def test_codes_of_a_small_catalogue_need_no_training() -> None:
    families = {kind.family for kind in list_kinds(100, DIM)}
    assert families == {"Flat", "SQfp16", "SQ8", "RaBitQ", "HNSW", "HNSW,SQ8"}
    assert compare(VECTORS[:100], VECTORS[:3], list_kinds(100, DIM), seed=0, sample=256)


def test_the_parts_of_a_product_quantizer_divide_the_width() -> None:
    assert "PQ4np" in {kind.family for kind in list_kinds(NUM_ITEMS, 12)}


ONE = Measured("SQ8", "SQ8", 0, 0, 0, 0.99, 0.97, 1000.0, 2000.0, 10.0, 1.0)


def test_the_smallest_index_that_meets_the_target_is_chosen_in_its_fastest_setting() -> None:
    slow = replace(ONE, factory="slow", queries_per_second=100.0)
    coarse = replace(ONE, factory="coarse", recall_at_100=0.5, mb=1.0)
    large = replace(ONE, factory="large", recall_at_100=1.0, mb=40.0)
    found = [large, slow, ONE, coarse]
    assert cheapest(found, Target(0.95)) is ONE
    assert cheapest(found, Target(0.99)) is large
    assert cheapest(found, Target(0.4)) is coarse
    assert cheapest([slow, large], Target(0.95, max_ms=5)) is large
    assert cheapest(found, Target(0.99, max_mb=20)) is None


def test_a_miss_says_what_is_missed() -> None:
    target = Target(0.99, max_ms=0.5, max_mb=5)
    assert target.misses(ONE) == ["recall@100 0.970 < 0.99", "1.00 ms > 0.5", "10.0 MB > 5"]
    close = replace(ONE, recall_at_100=1.0, mb=4.0)
    assert nearest([ONE, close], target, 1) == [close]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.factory)
def test_every_kind_is_built_by_its_recipe_line_and_served(tmp_path: Path, kind: Kind) -> None:
    """The setting is in the file that is served, masks are respected, and k come back whenever k exist."""
    refine = kind.refine
    factory = f"{kind.factory},RFlat" if refine else kind.factory
    one = replace(ONE, factory=factory, nprobe=kind.nprobes[-1], ef_search=kind.ef_searches[-1], refine=refine)
    recipe = recipe_of(**load_yaml(recipe_line(one, 0)))
    write_prepared(tmp_path / "prepared", [[1, 2, 3]] * 4, [[4]] * 4, NUM_ITEMS)
    write_retrieval(tmp_path / "retrieval", VECTORS)
    known = np.arange(NUM_ITEMS + 1) % 4 != 0
    np.save(tmp_path / "retrieval/known.npy", known)
    build_index(recipe, Prepared.open(tmp_path / "prepared"), tmp_path / "retrieval", tmp_path / "index")
    store = FeatureStore.open(tmp_path / "prepared/features")
    served = Retriever.open(tmp_path / "retrieval", tmp_path / "index", store)
    index = served.index
    if refine:
        assert index.k_factor == refine
        index = faiss.downcast_index(index.base_index)
    if kind.ef_searches != (0,):
        assert index.hnsw.efSearch == kind.ef_searches[-1]
    seen = [np.arange(1, 1 + 30 * e) for e in range(4)]
    for k in (10, NUM_ITEMS):
        rows, scores = served.search(item_vectors(4, DIM, seed=9), k, seen)
        for e in range(4):
            there = rows[e][rows[e] > 0]
            assert known[there].all()
            assert not set(there.tolist()) & set(seen[e].tolist())
            assert len(set(there.tolist())) == len(there) == min(k, known[1:].sum() - known[seen[e]].sum())
            assert np.all(np.diff(scores[e][: len(there)]) <= 1e-6)
