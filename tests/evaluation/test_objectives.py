"""Weight that moves to a label moves the lists to its targets, on data whose truth is known."""

import json
from pathlib import Path

import numpy as np
import pytest
import two_labels

from shortlist.dataset.prepared import Prepared
from shortlist.evaluation.objectives import evaluate_objectives
from shortlist.evaluation.whole_path import WholePath
from shortlist.recipe import Recipe


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Recipe]:
    folder = tmp_path_factory.mktemp("two-labels")
    return folder, two_labels.run(folder)


@pytest.fixture(scope="module")
def found(made: tuple[Path, Recipe]) -> dict:
    return json.loads((made[0] / "evaluation/evaluation.json").read_text())["objectives"]


def test_weight_on_likes_finds_more_likes_and_fewer_plays(found: dict) -> None:
    tradeoff = found["tradeoffs"]["liked"]
    assert tradeoff["difference"]["liked"]["ndcg_at_10"]["low"] > 0
    assert tradeoff["difference"]["positive"]["ndcg_at_10"]["high"] < 0
    liked = [point["metrics"]["liked"]["ndcg_at_10"]["mean"] for point in tradeoff["points"]]
    assert len(liked) == 9
    assert np.corrcoef(liked, np.arange(9))[0, 1] > 0.7, "it rises with the weight"
    assert min(liked) == liked[0]


def test_the_point_of_the_recipe_lies_between_the_ends(found: dict) -> None:
    tradeoff = found["tradeoffs"]["liked"]
    first, last = tradeoff["points"][0]["metrics"], tradeoff["points"][-1]["metrics"]
    own = tradeoff["recipe"]["metrics"]
    assert tradeoff["recipe"]["weights"] == found["weights"] == {"positive": 1.0, "liked": 0.5}
    assert first["liked"]["ndcg_at_10"]["mean"] < own["liked"]["ndcg_at_10"]["mean"]
    assert last["positive"]["ndcg_at_10"]["mean"] < own["positive"]["ndcg_at_10"]["mean"]


def test_a_label_is_judged_on_the_queries_that_have_a_target_of_it(made: tuple[Path, Recipe], found: dict) -> None:
    test = Prepared.open(made[0] / "prepared").test
    counts = test.targets("liked").counts
    assert 0 < found["labels"]["liked"]["queries"] == (counts > 0).sum() < len(test)
    assert found["labels"]["liked"]["targets"] == counts.sum()
    of_all = found["labels"]["liked"]["systems"]
    assert of_all.keys() == {"path", "retrieval", "item_knn", "popularity"}
    ours = found["tradeoffs"]["liked"]["recipe"]["metrics"]["liked"]["ndcg_at_10"]["mean"]
    assert of_all["path"]["ndcg_at_10"]["mean"] == pytest.approx(ours, abs=1e-6), "the path has the recipe's weights"


def test_without_a_ranker_there_are_metrics_and_no_trade_off(made: tuple[Path, Recipe]) -> None:
    folder, recipe = made
    prepared = Prepared.open(folder / "prepared")
    path = WholePath.open(recipe, prepared.store, folder / "retrieval", folder / "index", None, threads=1)
    lists = {"path": np.zeros((len(prepared.test), 10), np.int64)}
    without = evaluate_objectives(recipe, prepared, path, prepared.test, lists, [10])
    assert without is not None
    assert without["tradeoffs"] == {}
    assert without["labels"]["liked"]["systems"]["path"]["ndcg_at_10"]["mean"] == 0
    plain = recipe.model_copy(update={"interactions": recipe.interactions.model_copy(update={"labels": {}})})
    assert evaluate_objectives(plain, prepared, path, prepared.test, lists, [10]) is None
