"""Run the compiled pipeline in this process, each step in a process of its own by kfp's subprocess runner.

`shortlist run` starts it as a child (`python -m shortlist.cli.pipeline RECIPE ROOT [FORCED_BY]`), so that one signal
to the child's process group ends all steps.
"""

import os
import sys
import warnings
from importlib.resources import files
from pathlib import Path

from kfp import components, local


def main(recipe: Path, root: Path, forced_by: str | None = None) -> None:
    """Raises RuntimeError when a step fails; its output has said why."""
    # The steps' commands name `python3`; it must be this interpreter's.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    warnings.filterwarnings("ignore", message="You may be attemping to run a task", category=RuntimeWarning)
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(root))
    pipeline = components.load_component_from_text(files("pipelines").joinpath("train_and_publish.yaml").read_text())
    arguments = {"recipe": recipe.read_text()} | ({"forced_by": forced_by} if forced_by else {})
    pipeline(**arguments)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:4])
