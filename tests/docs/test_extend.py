"""The examples of docs/extend.md work."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hand_made import context_of, item_vectors, recipe_of, write_release, write_store

from shortlist.recipe import Rules
from shortlist.recommend.filters.seen import SeenFilter
from shortlist.recommend.query import QueryBatch
from shortlist.recommend.recommender import Recommender
from shortlist.recommend.rerankers.top_k import TopK
from shortlist.recommend.rules import RuleBook
from shortlist.recommend.sources.popularity import PopularitySource
from shortlist.recommend.sources.two_tower import TwoTowerSource
from shortlist.recommend.trace import Trace
from shortlist.retrieval.retrieve import Retriever

PAGE = Path(__file__).parents[2] / "docs/extend.md"
NUM_ITEMS = 30


@pytest.fixture(scope="module")
def classes() -> dict[str, Any]:
    """What the page defines."""
    found: dict[str, Any] = {"np": np}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        if "\nclass " in block:
            exec(block, found)
    return found


def asked(folder: Path, filters: list[Any], rerankers: list[Any], trace: Trace | None = None) -> Any:
    store = write_store(folder / "store", [[1, 2, 3], [4]], NUM_ITEMS)
    release = write_release(folder / "release", store, item_vectors(NUM_ITEMS), recipe_of())
    retriever = Retriever.open(release / "retrieval", release / "index", store)
    rules = RuleBook(store, Rules())
    sources = [TwoTowerSource(retriever), PopularitySource(np.asarray(store.popular), store.available)]
    recommender = Recommender(
        retriever, sources, filters, rerankers, rules=rules, num_ranked=20, num_pool=20, profiles=False
    )
    users = np.array([1, 2])
    starts, ends = store.history_bounds(users)
    queries = store.queries(users, store.history_items, starts, ends, context_of(2))
    seen = [store.history_items[start:end] for start, end in zip(starts, ends, strict=True)]
    candidates = recommender.candidates(QueryBatch(queries, np.zeros(2, np.int64), seen), np.full(2, 10), trace)
    return recommender.recommend(candidates, None, trace)


def test_the_filter_of_the_page(tmp_path: Path, classes: dict[str, Any]) -> None:
    before = asked(tmp_path / "a", [SeenFilter()], [TopK()])
    away = before.rows_EK[0, :3]
    trace = Trace()
    after = asked(tmp_path / "b", [SeenFilter(), classes["SoldOutFilter"](away)], [TopK()], trace)
    assert not np.isin(after.rows_EK, away).any()
    assert (after.rows_EK > 0).all(), "as long as before"
    assert trace.as_dict()["filters"]["dropped"] == {"seen": 4, "sold_out": 6}


def test_the_reranker_of_the_page(tmp_path: Path, classes: dict[str, Any]) -> None:
    plain = asked(tmp_path / "a", [], [TopK()])
    lists = asked(tmp_path / "b", [], [classes["PositiveFirst"]()])
    assert np.array_equal(lists.rows_EK, plain.rows_EK), "inner products fall already"


def test_the_page_names_files_that_are_there() -> None:
    root = PAGE.parents[1]
    for path in re.findall(r"`((?:shortlist|components|pipelines)/[a-z_/.]*)`", PAGE.read_text(encoding="utf-8")):
        assert (root / path).exists(), path
