"""The first step that reads each part of a recipe is the one that `recipe_reads` says, or a later one."""

import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest
from kfp.dsl import Artifact, Metrics, PipelineTaskFinalStatus
from recipe_reads import reads_of

import shortlist.recipe
from shortlist.pipelines.recipe_reads import FIRST_READ_BY, STEPS, first_reader
from shortlist.recipe import Recipe, parse_recipe

EVERYTHING = """
name: tiny
source: {kind: synthetic, users: 80, items: 60, events: 4000, days: 30}
split: {kind: temporal, test: 3d, valid: 3d}
interactions: {positive: played_ratio_pct >= 50, labels: {organic: is_organic = 1}}
contract: {columns: {played_ratio_pct: {min: 0, max: 200}}}
features:
  item:
    id_dim: 8
    title: title
    categorical: [{name: artist_id, dim: 8}]
    numeric: [track_length_seconds]
    text: {columns: [title]}
  context: {clock: [hour]}
retrieval: {dim: 8, hidden: [], negatives: {kind: mixed, num_hard: 2}, training: {epochs: 1}, refit: {epochs: 1}}
candidates:
  sources:
    - {kind: two_tower}
    - {kind: item_neighbours, by: transitions}
    - {kind: user_neighbours}
    - {kind: trending}
    - {kind: new_items}
    - {kind: same_attribute, of: artist_id}
    - {kind: repeats}
  explore: {}
ranking: {candidates: 30, training: {epochs: 1}, objective: {positive: 1, organic: 0.2}}
rules: {at_most: {artist_id: 2}, diversity: 0.1}
batch: {k: 3}
"""
LABELS = """
name: tiny
source: {kind: synthetic, users: 80, items: 60, events: 4000, days: 30}
split: {kind: leave_one_out}
interactions: {positive: played_ratio_pct >= 50}
retrieval: {dim: 8, hidden: [], encoder: transformer, training: {epochs: 1}}
ranking: {candidates: 30, learn_from: labels, training: {epochs: 1}}
"""
CHECKS = {("survey", "source"), ("prepare", "rules")}
"""A survey, which every new run makes, is an input of ingest; prepare reads rules only to check them early."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("text", [EVERYTHING, LABELS], ids=["everything", "labels"])
def test_no_step_reads_a_part_before_its_first_reader(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The steps run as a pipeline calls them, with a recipe that records which of its fields are read."""
    recipe = parse_recipe(f"{text}publish: {{to: {tmp_path}/releases}}\n")
    early = [
        f"{step} reads {path}"
        for step, paths in reads_of_steps(recipe, tmp_path, monkeypatch).items()
        for path in sorted(paths)
        if STEPS.index(step) < STEPS.index(first_reader(path)) and (step, path.partition(".")[0]) not in CHECKS
    ]
    assert early == []


def test_the_table_names_fields_of_the_recipe() -> None:
    for path in FIRST_READ_BY:
        block: Any = parse_recipe(EVERYTHING)
        for name in path.split("."):
            if path != "split.part":  # of split.kind given
                block = getattr(block, name)


def reads_of_steps(recipe: Recipe, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """Run all steps in this process; step -> the fields that it reads."""
    monkeypatch.setattr(shortlist.recipe, "parse_recipe", lambda _: recipe)
    given: dict[str, Any] = {"recipe": "", "forced_by": "me", "version": "1", "run_id": "r1"}
    given["status"] = PipelineTaskFinalStatus("SUCCEEDED", "job", "steps", None, None)
    found: dict[str, set[str]] = {}
    for step in STEPS:
        function = getattr(importlib.import_module(f"shortlist.components.{step}"), step).python_func
        arguments = {}
        (folder / step).mkdir()
        for name, parameter in inspect.signature(function).parameters.items():
            written = "Output" in str(parameter.annotation)
            if name == "metrics":
                arguments[name] = Metrics()
            elif written:
                arguments[name] = Artifact(uri=str(folder / step / name))
                given[step if name == "record" else name] = arguments[name]
            else:
                arguments[name] = given[name]
        with reads_of(recipe, monkeypatch) as paths:
            function(**arguments)
        # An empty path is the recipe as a whole, which becomes part of the release and of the report.
        assert "" not in paths or step in ("publish", "report"), f"{step} reads all of the recipe"
        found[step] = paths - {"", "resources", "tracking"} - {path for path in paths if path.startswith("resources.")}
    return found
