"""One trial: the pipeline until the training that is measured, with other values, as child processes."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Collection
from pathlib import Path

from shortlist.cli.step_records import StepRecords
from shortlist.cpus import set_threads
from shortlist.pipelines.errors import RunFailedError
from shortlist.progress import explanation, parse_epoch
from shortlist.recipe import Recipe, Step, Tune, dump_recipe
from shortlist.serving.child import library_environment
from shortlist.serving.groups import end_group
from shortlist.step_result import read_record

_LABELS = {"train_retrieval": "train retrieval", "train_ranking": "train ranking"}
_PATIENCE_SECONDS = 3.0


def run_steps(
    folder: Path, recipe: Recipe, until: Step, project: Path, each: Callable[[str], None], threads: int | None = None
) -> None:
    """Run the steps that are not complete in `folder`; `each` gets every line. Raises RunFailedError."""
    folder.mkdir(parents=True, exist_ok=True)
    StepRecords(folder).create()
    environment = library_environment() | {"PYTHONUNBUFFERED": "1"}
    if threads is not None:
        set_threads(threads, environment)
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
        env=environment,
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
    folder: Path,
    recipe: Recipe,
    tune: Tune,
    shared: Path | None,
    project: Path,
    threads: int,
    known: Collection[int],
    report: Callable[[int, float], None],
) -> None:
    """Train with this recipe in `folder`, and report each epoch, from 1, with the metric of validation.

    A trial that was killed goes on from its last checkpoint; `known` are the epochs that were reported before. `shared`
    is the folder of the steps that all trials have in common. Raises RunFailedError.
    """
    records, reported = StepRecords(folder), set(known)
    if not records.exist:
        # Aside, so that a kill leaves no folder with a part of the shared steps.
        draft = folder.with_name(f"{folder.name}.draft")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        StepRecords(draft).create()
        if shared is not None:
            StepRecords(draft).take_over(StepRecords(shared))
        draft.rename(folder)

    def tell(epoch: int, values: dict[str, float]) -> None:
        if epoch not in reported:
            reported.add(epoch)
            report(epoch, values[tune.metric])

    def each(line: str) -> None:
        if found := parse_epoch(line, _LABELS[tune.step]):
            tell(*found)

    run_steps(folder, recipe, tune.step, project, each, threads)
    # An epoch may be missing in the log: its checkpoint was written, but the trial was killed before it said so.
    details = read_record(records.folder(tune.step) / "record").result.details
    curves = details.get("curves") or {}
    for i, epoch in enumerate(curves.get("epoch", ())):
        tell(int(epoch), {name: values[i] for name, values in curves.items()})
