"""`--resume` and `--from`: the run whose outputs are used, or why they cannot be; and the steps of `--until`."""

import difflib
from pathlib import Path

from shortlist.cli.places import Places
from shortlist.cli.run_folders import RunFolder, State, find_run, list_runs
from shortlist.cli.step_records import StepRecords
from shortlist.pipelines.recipe_reads import STEPS, differing, fields_of
from shortlist.recipe import RecipeError, Step, load_recipe

_UNTIL = STEPS[STEPS.index("ingest") : STEPS.index("publish")]
_SHOWN = 5
"""How many differing fields are named."""


def run_to_resume(places: Places, name: str | None) -> RunFolder:
    """The named run, or the newest that did not finish. Raises ValueError if it cannot be resumed with this recipe."""
    if name is None:
        unfinished = [run for run in list_runs(places.runs) if run.state in (State.FAILED, State.STOPPED)]
        if not unfinished:
            raise ValueError(f"{places.runs}: no run to resume: every run has finished or is running")
        run = unfinished[0]
    else:
        run = find_run(places.runs, name)
    if run.record is not None:
        raise ValueError(f"{run.name} has finished; a new run can take over its outputs: --from {run.name}")
    _check_records(run)
    recipe = run.path / "recipe.yaml"
    if recipe.exists():
        _check_recipe(places, run, recipe)
    return run


def run_to_take_from(places: Places, name: str) -> RunFolder:
    """The named run. Raises ValueError if there is none, or if an older version wrote it."""
    run = find_run(places.runs, name)
    _check_records(run)
    return run


def step_named(name: str) -> Step:
    """The step that a run may stop after, with `-` or `_` in its name. Raises ValueError for another one."""
    step = name.replace("-", "_")
    if step in _UNTIL:
        return step
    if step in STEPS:
        problem = f"a run cannot stop after {step!r}"
    else:
        near = difflib.get_close_matches(step, _UNTIL, n=1)
        problem = f"there is no step {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")
    raise ValueError(f"{problem}; steps to stop after: {', '.join(_UNTIL)}")


def _check_records(run: RunFolder) -> None:
    if not StepRecords(run.path).exist:
        raise ValueError(f"{run.path}: an older version of Shortlist wrote this run, without records of its steps")


def _check_recipe(places: Places, run: RunFolder, file: Path) -> None:
    start = f"or start a new run that takes over what did not change: shortlist run {places.file} --from {run.name}"
    try:
        before, now = fields_of(load_recipe(file)), fields_of(places.recipe)
    except RecipeError as error:
        raise ValueError(f"{run.name} cannot be resumed, since its recipe is no longer valid: {error}") from None
    if paths := differing(before, now):
        lines = [f"  {path}: {before.get(path)!r} in the run, now {now.get(path)!r}" for path in paths[:_SHOWN]]
        more = [f"  and {len(paths) - _SHOWN} more"] if len(paths) > _SHOWN else []
        text = "\n".join([*lines, *more])
        raise ValueError(f"{run.name} had another recipe:\n{text}\nChange the recipe back, {start}")
