"""`index.factory: cheapest`: the smallest kind of index that meets the target is built, once for both towers."""

import json
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from hand_made import item_vectors, recipe_of, write_prepared, write_retrieval

from shortlist.dataset.prepared import Prepared
from shortlist.recipe import Index
from shortlist.retrieval.build_index import build_indexes
from shortlist.retrieval.cheapest_index import choose_index
from shortlist.retrieval.faiss_index import bytes_per_item, choose_factory
from shortlist.retrieval.index_compare import list_kinds
from shortlist.step_result import StepResult

NUM_ITEMS, DIM = 400, 16
VECTORS, ASKED = item_vectors(NUM_ITEMS, DIM), item_vectors(40, DIM, seed=5)


def chosen(**target: Any) -> Index:
    return choose_index(Index(factory="cheapest", **target), VECTORS, ASKED, seed=0)[0]


@pytest.mark.parametrize("kind", list_kinds(NUM_ITEMS, DIM), ids=lambda kind: kind.factory)
@pytest.mark.parametrize("end", ["", ",RFlat"])
def test_an_index_grows_by_its_bytes_per_item(kind: Any, end: str) -> None:
    """What is added twice makes the file longer by that; the links of a graph are an upper bound."""
    index = faiss.index_factory(DIM, kind.factory + end, faiss.METRIC_INNER_PRODUCT)
    index.train(VECTORS)
    index.add(VECTORS)
    once = len(faiss.serialize_index(index))
    index.add(VECTORS)
    grown = (len(faiss.serialize_index(index)) - once) / NUM_ITEMS
    links = 32 if kind.factory[:6] == "HNSW32" else 0  # levels of the graph, which only some items have
    assert bytes_per_item(kind.factory + end, DIM) == pytest.approx(grown, abs=links + 0.5)


def test_the_smallest_kind_that_finds_enough_is_chosen() -> None:
    sizes = []
    for min_recall in (0.1, 0.9, 1.0):
        settings = chosen(min_recall=min_recall)
        assert settings.min_recall == min_recall
        sizes.append(bytes_per_item(settings.factory, DIM))
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[1] < sizes[2]
    assert chosen(min_recall=1.0).factory == "SQfp16"  # of these vectors it loses nothing


def test_kinds_are_measured_from_small_to_large_and_no_further_than_needed() -> None:
    settings, found = choose_index(Index(factory="cheapest", min_recall=0.95), VECTORS, ASKED, seed=0)
    sizes = [bytes_per_item(one.factory, DIM) for one in found]
    assert all(small <= large for small, large in pairwise(sizes))
    enough = [one for one in found if one.recall_at_100 >= 0.95]
    assert {one.factory for one in enough} == {settings.factory} == {found[-1].factory}
    least = enough[0]
    assert (settings.nprobe, settings.ef_search, settings.refine) == (
        least.nprobe or Index().nprobe,
        least.ef_search or Index().ef_search,
        least.refine or 1,
    )


def test_the_choice_is_the_same_again() -> None:
    assert chosen(min_recall=0.97) == chosen(min_recall=0.97)


def test_without_a_kind_that_is_enough_the_nearest_are_named() -> None:
    with pytest.raises(ValueError, match=r"relax index.min_recall, index.max_ms or index.max_mb. The nearest:\n  \S"):
        chosen(min_recall=0.99, max_mb=0.005)
    with pytest.raises(ValueError, match=r"index.max_mb: 0.001 MiB are too few for any kind"):
        chosen(max_mb=0.001)
    with pytest.raises(ValueError, match=r" ms > 1e-06"):
        chosen(min_recall=0.1, max_ms=1e-6, max_mb=0.005)


def test_limits_belong_to_cheapest_and_search_settings_do_not() -> None:
    with pytest.raises(ValueError, match="max_mb needs factory: cheapest; leave it out"):
        Index(max_mb=10)
    with pytest.raises(ValueError, match="nprobe is chosen by factory: cheapest; leave it out"):
        Index(factory="cheapest", nprobe=4)
    assert choose_factory(Index(factory="cheapest"), NUM_ITEMS) == "Flat"  # the search for hard negatives


def build(tmp_path: Path) -> tuple[StepResult, list[dict[str, Any]]]:
    """The step, with a refit; what both index.json say."""
    rng = np.random.default_rng(0)
    histories = [rng.integers(1, NUM_ITEMS + 1, 8).tolist() for _ in range(60)]
    write_prepared(tmp_path / "prepared", histories, [[1]] * 60, NUM_ITEMS)
    towers = tmp_path / "retrieval", tmp_path / "before"
    write_retrieval(towers[0], VECTORS)
    write_retrieval(towers[1], item_vectors(NUM_ITEMS, DIM, seed=3))
    outs = tmp_path / f"index-{os.urandom(4).hex()}", tmp_path / f"before-{os.urandom(4).hex()}"
    recipe = recipe_of(index={"factory": "cheapest", "min_recall": 0.95}, retrieval={"refit": {"epochs": 1}})
    step = build_indexes(recipe, Prepared.open(tmp_path / "prepared"), *towers, *outs)
    return step, [json.loads((out / "index.json").read_text()) for out in outs]


def test_the_step_serves_the_choice_and_trains_the_ranker_with_the_same_kind(tmp_path: Path) -> None:
    step, (served, before_refit) = build(tmp_path)
    assert served["factory"] == before_refit["factory"] == step.details["compared"][-1]["factory"]
    assert served["recall_at_100"] >= 0.95
    assert "compared" not in served
    json.dumps(step.details)
