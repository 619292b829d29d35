"""What the report says of candidate sources is what they find, from statistics that end before the queries."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hand_made import item_vectors, recipe_of, write_index, write_prepared, write_retrieval

from shortlist.dataset.prepared import Prepared
from shortlist.dataset.split import TRAIN, VALID
from shortlist.evaluation.source_effects import source_effects
from shortlist.evaluation.whole_path import WholePath
from shortlist.report.record import SourceEffects
from shortlist.report.sources import sources as sources_card
from shortlist.statistics.collect_for_sources import collect_for_sources

NUM_ITEMS = 40
SOURCES = [{"kind": "two_tower"}, {"kind": "user_neighbours"}, {"kind": "popularity"}]
# Users 1 and 2 share items 1, 2 and 3; user 2 also has 20, which user 1 is asked for.
HISTORIES, TARGETS = [[1, 2, 3], [1, 2, 3, 20], [7, 8]], [[20], [30], [31]]


def made(folder: Path, sources: list[dict[str, Any]]) -> tuple[Any, Prepared]:
    recipe = recipe_of(
        ranking={"enabled": False, "candidates": 10},
        evaluation={"bootstrap": 50, "k": [5]},
        gate={"metric": "ndcg_at_5"},
        candidates={"sources": sources},
    )
    return recipe, write_prepared(folder / "prepared", HISTORIES, TARGETS, NUM_ITEMS)


def effects(folder: Path, sources: list[dict[str, Any]]) -> dict[str, Any] | None:
    recipe, prepared = made(folder, sources)
    vectors = item_vectors(NUM_ITEMS)
    write_retrieval(folder / "retrieval", vectors)
    write_index(folder / "index", vectors)
    collect_for_sources(recipe, prepared, (TRAIN,)).save(folder / "index")
    path = WholePath.open(recipe, prepared.store, folder / "retrieval", folder / "index", None, threads=1)
    return source_effects(recipe, prepared, path, 5)


def test_the_towers_alone_have_no_effects(tmp_path: Path) -> None:
    assert effects(tmp_path, [{"kind": "two_tower"}]) is None


def test_each_source_stands_alone_and_without(tmp_path: Path) -> None:
    found = effects(tmp_path, SOURCES)
    assert found is not None
    names = [one["kind"] for one in SOURCES]
    assert list(found["variants"]) == [*names, *(f"without {name}" for name in names), "all"]
    assert list(found["differences"]) == [name for name in found["variants"] if name != "two_tower"]
    recall = {name: one["metrics"]["candidate_recall"]["mean"] for name, one in found["variants"].items()}
    assert recall["user_neighbours"] == pytest.approx(1 / 3), "user 2 has what user 1 is asked for"
    assert recall["all"] >= recall["user_neighbours"]
    difference = found["differences"]["all"]["candidate_recall"]["mean"]
    assert difference == pytest.approx(recall["all"] - recall["two_tower"], abs=1e-6)


def test_the_hits_of_a_source_are_counted(tmp_path: Path) -> None:
    found = effects(tmp_path, SOURCES)
    assert found is not None
    share = found["shares"]["user_neighbours"]
    assert 0 < share["items"] < 1
    assert share["hits_of_it_alone"] <= share["hits"] <= 1
    assert share["hits"] > 0


def test_the_report_shows_them(tmp_path: Path) -> None:
    found = effects(tmp_path, SOURCES)
    page = sources_card(SourceEffects.model_validate(found))
    assert "Candidate sources" in page
    assert "without user_neighbours" in page
    assert "Recall of candidates minus that of two_tower" in page


def test_statistics_of_the_train_window_do_not_know_validation(tmp_path: Path) -> None:
    sources = [{"kind": "two_tower"}, {"kind": "item_neighbours"}, {"kind": "user_neighbours"}]
    recipe, prepared = made(tmp_path, sources)
    part = np.array(prepared.samples.part)
    part[np.asarray(prepared.samples.item) == 20] = VALID
    np.save(tmp_path / "prepared/samples/part.npy", part)
    again = Prepared.open(tmp_path / "prepared")
    before, after = (collect_for_sources(recipe, again, parts) for parts in ((TRAIN,), (TRAIN, VALID)))
    for statistics, knows in ((before, False), (after, True)):
        assert statistics.neighbours is not None
        assert statistics.user_knn is not None
        assert (20 in statistics.neighbours.rows_TNn[0, 1]) == knows
        users = statistics.user_knn
        assert (20 in users.items_of(*users.nearest(np.array([1, 2, 3]), 400)).rows) == knows
