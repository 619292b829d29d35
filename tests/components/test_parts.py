"""The components, called as a pipeline calls them, each with nothing but the artifacts that it is given."""

import json
import shutil
from pathlib import Path

import pytest
from clean_tables import random_events, recipe, write_clean
from kfp.dsl import Artifact, Metrics
from kfp.dsl.base_component import BaseComponent
from release_parts import evaluation

from shortlist.components.build_index import build_index
from shortlist.components.export import export
from shortlist.components.prepare import prepare
from shortlist.components.publish import publish
from shortlist.components.train_retrieval import train_retrieval
from shortlist.recipe import dump_recipe
from shortlist.recommend.rules import RuleError


def test_without_the_samples_a_model_is_exported_and_published(tmp_path: Path) -> None:
    def run(component: BaseComponent, *outputs: str, **inputs: Artifact) -> dict[str, Artifact]:
        """What the step leaves, and its record."""
        function = component.python_func
        folder = tmp_path / function.__name__
        folder.mkdir()
        left = {name: Artifact(uri=str(folder / name)) for name in (*outputs, "record")}
        function(recipe=text, **inputs, **left, metrics=Metrics())
        assert {path.name for path in folder.iterdir()} == left.keys(), "and nothing beside"
        return left

    text = dump_recipe(
        recipe(
            retrieval="{dim: 8, hidden: [], training: {epochs: 1, batch_size: 32, device: cpu}, refit: {epochs: 1}}",
            ranking="{enabled: false}",
            publish=f"{{to: {tmp_path}/releases}}",
        )
    )
    clean = Artifact(uri=str(write_clean(tmp_path / "clean", random_events(1))))
    data = run(prepare, "features", "samples", "queries", clean=clean)
    told = data.pop("record")
    towers = run(train_retrieval, "towers", **data)["towers"]

    samples = data.pop("samples")
    both = run(export, "retrieval", "retrieval_before_refit", **data, towers=towers)
    del both["record"]
    indexes = run(build_index, "index", "index_before_refit", **data, samples=samples, **both)
    shutil.rmtree(samples.path)
    assert all(any(Path(one.path).iterdir()) for one in (*both.values(), indexes["index_before_refit"]))
    made = {"retrieval": both["retrieval"], "index": indexes["index"]}
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation/evaluation.json").write_text(json.dumps(evaluation()))
    made |= {name: Artifact(uri=str(tmp_path / name)) for name in ("evaluation", "ranking")}
    decision = run(publish, "decision", features=data["features"], prepare=told, **made)["decision"]
    assert json.loads((Path(decision.path) / "decision.json").read_text())["published"]


def test_a_rule_that_fits_no_item_stops_the_run_before_anything_is_trained(tmp_path: Path) -> None:
    text = dump_recipe(recipe(rules="{where: \"colour = 'red'\"}"))
    clean = Artifact(uri=str(write_clean(tmp_path / "clean", random_events(1))))
    left = {name: Artifact(uri=str(tmp_path / name)) for name in ("features", "samples", "queries", "record")}
    with pytest.raises(RuleError, match=r"rules\.where: items have no attribute 'colour'"):
        prepare.python_func(recipe=text, clean=clean, **left, metrics=Metrics())
    assert not Path(left["features"].path).exists()
