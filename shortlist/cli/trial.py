"""One trial: the pipeline until the training that is measured, with other values, as child processes."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from shortlist.cli.step_records import OUTPUTS, StepRecords
from shortlist.pipelines.errors import RunFailedError
from shortlist.progress import explanation, parse_epoch
from shortlist.recipe import Recipe, Step, Tune, dump_recipe
from shortlist.serving.child import library_environment
from shortlist.serving.groups import end_group
from shortlist.step_result import read_record

_LABELS = {"train_retrieval": "train retrieval", "train_ranking": "train ranking"}
_PATIENCE_SECONDS = 3.0


def run_steps(folder: Path, recipe: Recipe, until: Step, project: Path, each: Callable[[str], None]) -> None:
    """Run the steps that are not complete in `folder`; `each` gets every line. Raises RunFailedError."""
    StepRecords(folder).create()
    (folder / "recipe.yaml").write_text(dump_recipe(recipe), encoding="utf-8")
    command = [sys.executable, "-m", "shortlist.cli.pipeline", str(folder / "recipe.yaml"), str(folder), "subprocess"]
    child = subprocess.Popen(
        [*command, "--until", until],
        cwd=project,
        stdin=subprocess.PIPE,  # the kernel closes it if this process is killed, which ends the child
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=library_environment() | {"PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )
    assert child.stdout is not None
    lines: list[str] = []
    try:
        with (folder / "run.log").open("a", encoding="utf-8") as log:
            for line in child.stdout:
                log.write(line)
                log.flush()
                lines = [*lines[-200:], line]
                each(line)
        code = child.wait()
    finally:
        end_group(child, _PATIENCE_SECONDS)
    if code != 0 or not StepRecords(folder).is_complete(until):
        raise RunFailedError(f"{explanation(lines)}\nThe full log: {folder / 'run.log'}")


def run_trial(
    folder: Path, recipe: Recipe, tune: Tune, shared: Path | None, project: Path, report: Callable[[int, float], None]
) -> None:
    """Train with this recipe in `folder`, and report each epoch, from 1, with the metric of validation.

    A trial that was killed goes on from its last checkpoint; its earlier epochs are then reported at its end, unless
    they were before. `shared` is the folder of the steps that all trials have in common. Raises RunFailedError.
    """
    records, reported = StepRecords(folder), set()
    if not records.exist:
        folder.mkdir(parents=True, exist_ok=True)
        records.create()
        if shared is not None:
            records.take_over(StepRecords(shared))

    def each(line: str) -> None:
        if found := parse_epoch(line, _LABELS[tune.step]):
            epoch, values = found
            reported.add(epoch)
            report(epoch, _metric(values, tune))

    run_steps(folder, recipe, tune.step, project, each)
    curves = read_record(folder / OUTPUTS / tune.step.replace("_", "-") / "record").result.details.get("curves") or {}
    for i, epoch in enumerate(curves.get("epoch", ())):
        if epoch not in reported:
            report(int(epoch), _metric({name: values[i] for name, values in curves.items()}, tune))


def _metric(values: dict[str, float], tune: Tune) -> float:
    if tune.metric not in values:
        known = ", ".join(name for name in values if name not in ("learning_rate", "seconds", "examples/s", "epoch"))
        raise RunFailedError(f"tune.metric: {tune.step} has no {tune.metric!r}; its metrics of an epoch: {known}")
    return values[tune.metric]
