"""The compiled pipeline is the one that the code says."""

from pathlib import Path
from typing import get_args

import yaml

from shortlist.pipelines.compile import COMPILED, compile_pipeline
from shortlist.recipe import Resources, Step

STEPS = [
    "build-index",
    "conclude",
    "evaluate",
    "export",
    "ingest",
    "prepare",
    "publish",
    "report",
    "survey",
    "train-ranking",
    "train-retrieval",
    "validate",
    "write-lists",
]


def test_the_yaml_beside_the_code_is_what_the_code_compiles_to(tmp_path: Path) -> None:
    compile_pipeline(tmp_path / "fresh.yaml", Resources())
    assert COMPILED.read_text() == (tmp_path / "fresh.yaml").read_text(), "run `make compile` and commit the result"


def test_every_step_is_in_it_and_installs_nothing_when_it_starts() -> None:
    spec = yaml.safe_load(COMPILED.read_text())
    steps = spec["root"]["dag"]["tasks"] | spec["components"]["comp-exit-handler-1"]["dag"]["tasks"]
    assert sorted(steps.keys() - {"exit-handler-1"}) == STEPS
    assert [name.replace("-", "_") for name in STEPS] == sorted(get_args(Step)), "resources.steps names others"
    for name, executor in spec["deploymentSpec"]["executors"].items():
        command = " ".join(executor["container"]["command"])
        assert "pip install" not in command, name
        assert executor["container"]["image"].startswith("shortlist/pipeline:"), name
        assert not executor["container"]["image"].endswith(":latest"), name


def test_only_what_reads_the_samples_fetches_them() -> None:
    tasks = yaml.safe_load(COMPILED.read_text())["components"]["comp-exit-handler-1"]["dag"]["tasks"]
    of_prepare: dict[str, set[str]] = {}
    for name, task in tasks.items():
        for given in task["inputs"].get("artifacts", {}).values():
            source = given["taskOutputArtifact"]
            if source["producerTask"] == "prepare":
                of_prepare.setdefault(name, set()).add(source["outputArtifactKey"])
    whole, without_samples = {"features", "samples", "queries"}, {"features", "queries"}
    assert of_prepare == {
        "train-retrieval": whole,
        "export": without_samples,
        "build-index": whole,
        "train-ranking": whole,
        "evaluate": whole,
        "publish": {"features", "record"},
        "report": {"record"},
    }


def test_only_the_recipe_must_be_given() -> None:
    spec = yaml.safe_load(COMPILED.read_text())
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    assert [name for name, given in parameters.items() if not given.get("isOptional")] == ["recipe"]
