"""What the report says of rules is what the lists under them are."""

from pathlib import Path

import numpy as np
import pytest
from hand_made import item_vectors, recipe_of, write_index, write_prepared, write_retrieval

from shortlist.evaluation.rule_effects import rule_effects
from shortlist.evaluation.whole_path import WholePath

NUM_ITEMS = 40
GENRES = [[1 + row % 2] for row in range(1, NUM_ITEMS + 1)]
"""Odd rows are of g2, even ones of g1."""


def effects(folder: Path, **rules: object) -> dict | None:
    histories, targets = [[1, 2], [3], [4, 5, 6], [7]], [[20], [21], [22], [23]]
    prepared = write_prepared(folder / "prepared", histories, targets, NUM_ITEMS, genres=GENRES)
    vectors = item_vectors(NUM_ITEMS)
    write_retrieval(folder / "retrieval", vectors)
    write_index(folder / "index", vectors)
    features = {"item": {"categorical": [{"name": "genre"}]}}
    recipe = recipe_of(
        ranking={"enabled": False}, evaluation={"bootstrap": 50, "k": [20]}, features=features, rules=rules,
        gate={"metric": "ndcg_at_20"}, serving={"default_k": 20},
    )  # fmt: skip
    path = WholePath.open(recipe, prepared.store, folder / "retrieval", folder / "index", None, threads=1)
    return rule_effects(recipe, prepared, path, 20)


def test_without_rules_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert effects(tmp_path) is None


def test_a_filter_costs_the_targets_that_it_leaves_out(tmp_path: Path) -> None:
    found = effects(tmp_path, where="genre = 'g1'")
    assert found is not None
    assert list(found["variants"]) == ["none", "all"]
    none, all_rules = (found["variants"][name] for name in ("none", "all"))
    assert all_rules["coverage"] <= 0.5 < none["coverage"]
    assert all_rules["metrics"]["recall_at_20"]["mean"] == pytest.approx(0.5, abs=0.5)
    difference = found["differences"]["all"]["recall_at_20"]["mean"]
    expected = all_rules["metrics"]["recall_at_20"]["mean"] - none["metrics"]["recall_at_20"]["mean"]
    assert difference == pytest.approx(expected, abs=1e-6)


def test_each_rule_stands_alone_and_all_together(tmp_path: Path) -> None:
    found = effects(tmp_path, at_most={"genre": 10}, diversity=1.0)
    assert found is not None
    assert list(found["variants"]) == ["none", "at_most", "diversity", "all"]
    variants = found["variants"]
    assert variants["diversity"]["diversity"] > variants["none"]["diversity"]
    assert found["queries"] == 4
    assert all(one["novelty"] > 0 and one["milliseconds"] > 0 for one in variants.values())
    assert np.isfinite([one["metrics"]["ndcg_at_20"]["mean"] for one in variants.values()]).all()
