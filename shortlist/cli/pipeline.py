"""Runs the compiled pipeline with kfp's local runners, each step in its own process or container.

`shortlist run` starts this module as a child (`python -m shortlist.cli.pipeline RECIPE ROOT RUNNER [FORCED_BY]`), so
that one signal to the process group of the child ends all steps. It also ends, with its steps, when its standard input
is closed, which means that `shortlist run` was killed.
"""

import os
import signal
import sys
import warnings
from importlib.resources import files
from pathlib import Path

from kfp import components, local

from shortlist.cli.runner import Runner
from shortlist.recipe import load_recipe
from shortlist.serving.parent_watcher import end_with_stdin


def main(recipe: Path, root: Path, runner: Runner, forced_by: str | None = None) -> None:
    """Run the pipeline. Raises RuntimeError when a step fails; the output of the step contains the reason."""
    end_with_stdin(group=True)
    # The commands of the steps call `python3`, which must be this interpreter.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    warnings.filterwarnings("ignore", message="You may be attemping to run a task", category=RuntimeWarning)
    if runner is Runner.DOCKER:
        _run_in_containers(recipe, root, forced_by)
    else:
        _run(local.SubprocessRunner(use_venv=False), recipe, root, forced_by)


def _run_in_containers(recipe: Path, root: Path, forced_by: str | None) -> None:
    from shortlist.cli.docker_runner import docker_runner, end_containers  # only this runner needs Docker

    # The engine's containers are not in our process group.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        _run(docker_runner(load_recipe(recipe), root), recipe, root, forced_by)
    finally:
        end_containers(root)


def _run(runner: local.SubprocessRunner | local.DockerRunner, recipe: Path, root: Path, forced_by: str | None) -> None:
    local.init(runner, pipeline_root=str(root))
    pipeline = components.load_component_from_text(
        files("shortlist.pipelines").joinpath("train_and_publish.yaml").read_text()
    )
    arguments = {"recipe": recipe.read_text()} | ({"forced_by": forced_by} if forced_by else {})
    pipeline(**arguments)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]).absolute(), Runner(sys.argv[3]), *sys.argv[4:5])
