"""Runs the compiled pipeline with kfp's local runners, each step in its own process or container.

`shortlist run` starts this module as a child (`python -m shortlist.cli.pipeline RECIPE ROOT RUNNER`), so that one
signal to the process group of the child ends all steps. It also ends, with its steps, when its standard input is
closed, which means that `shortlist run` was killed. Steps that are complete in ROOT are not run again.
"""

import argparse
import os
import signal
import sys
import warnings
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from kfp import components, local

from shortlist.cli.runner import Runner
from shortlist.cli.step_cache import StepCache
from shortlist.pipelines.recipe_reads import STEPS
from shortlist.recipe import Step, load_recipe
from shortlist.release.bundle import code_fingerprint
from shortlist.serving.parent_watcher import end_with_stdin


def main(recipe: Path, root: Path, runner: Runner, forced_by: str, until: Step | None) -> None:
    """Run the pipeline. Raises RuntimeError when a step fails; the output of the step contains the reason."""
    end_with_stdin(group=True)
    # The commands of the steps call `python3`, which must be this interpreter.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    warnings.filterwarnings("ignore", message="You may be attemping to run a task", category=RuntimeWarning)
    arguments = {"recipe": recipe.read_text(), "forced_by": forced_by}
    if runner is Runner.DOCKER:
        _run_in_containers(recipe, root, arguments, until)
    else:
        StepCache(root, load_recipe(recipe), code_fingerprint()).install()
        _run(local.SubprocessRunner(use_venv=False), root, arguments, until)


def _run_in_containers(recipe: Path, root: Path, arguments: dict[str, str], until: Step | None) -> None:
    from shortlist.cli.docker_runner import docker_runner, end_containers, image_id  # only this runner needs Docker

    # The engine's containers are not in our process group.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    StepCache(root, load_recipe(recipe), image_id()).install()
    try:
        _run(docker_runner(load_recipe(recipe), root), root, arguments, until)
    finally:
        end_containers(root)


def _run(
    runner: local.SubprocessRunner | local.DockerRunner, root: Path, arguments: dict[str, str], until: Step | None
) -> None:
    local.init(runner, pipeline_root=str(root))
    compiled = yaml.safe_load(files("shortlist.pipelines").joinpath("train_and_publish.yaml").read_text())
    components.load_component_from_text(yaml.safe_dump(_local(compiled, root.name, until)))(**arguments)


def _local(compiled: dict[str, Any], run: str, until: Step | None) -> dict[str, Any]:
    """The compiled pipeline for the run of this name, without the steps after `until`.

    Our cache is asked about every step: unlike that of a cluster, it knows the live release.
    """
    tasks = compiled["components"]["comp-exit-handler-1"]["dag"]["tasks"]
    tasks["report"]["inputs"]["parameters"]["run_id"]["runtimeValue"]["constant"] = run
    for step in STEPS[STEPS.index(until) + 1 :] if until else ():
        tasks.pop(step.replace("_", "-"), None)
    for task in tasks.values():
        task["cachingOptions"] = {"enableCache": True}
    return compiled


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("recipe", type=Path)
    parser.add_argument("root", type=lambda given: Path(given).absolute())
    parser.add_argument("runner", type=Runner)
    parser.add_argument("--forced-by", default="")
    parser.add_argument("--until")
    main(**vars(parser.parse_args()))
