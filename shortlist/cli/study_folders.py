"""The folders of a recipe's studies: created, and resumed with the same recipe.

<study>/study.json     the recipe and the number of trials
<study>/.lock          held while the study is active
"""

from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel

from shortlist.cli.run_folders import RunLock
from shortlist.pipelines.recipe_reads import STEPS, differing, fields_of, first_reader
from shortlist.recipe import Recipe, Tune
from shortlist.storage.base import write_whole
from shortlist.tuning.trials import read_trials

_RECORD = "study.json"
_SHOWN = 5
"""How many differing fields are named."""


class _Record(BaseModel):
    recipe: Recipe
    trials: int


def new_study(studies: Path, recipe: Recipe, trials: int | None) -> tuple[Path, Tune, RunLock]:
    """A locked folder for a new study, and its settings."""
    assert recipe.tune is not None
    tune = recipe.tune.model_copy(update={"trials": trials or recipe.tune.trials})
    folder = studies / datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
    folder.mkdir(parents=True)
    lock = RunLock(folder)
    lock.take()
    _write(folder, recipe, tune)
    return folder, tune, lock


def resume_study(studies: Path, recipe: Recipe, trials: int | None) -> tuple[Path, Tune, RunLock]:
    """The last study, locked; `trials` makes it larger. Raises ValueError if it cannot be resumed with this recipe."""
    assert recipe.tune is not None
    found = sorted(path.parent for path in studies.glob(f"*/{_RECORD}"))
    if not found:
        raise ValueError(f"{studies}: there is no study to resume; start one without --resume")
    folder = found[-1]
    record = _Record.model_validate_json((folder / _RECORD).read_text(encoding="utf-8"))
    _check_recipe(folder.name, record.recipe, recipe)
    started = len(read_trials(folder))
    if trials is not None and trials < started:
        raise ValueError(
            f"--trials is {trials}, but {folder.name} has started {started} trials; give {started} or more"
        )
    tune = recipe.tune.model_copy(update={"trials": trials or record.trials})
    lock = RunLock(folder)
    if not lock.take():
        lock.close()
        raise ValueError(f"{folder.name} is running; end it first (Ctrl-C where it was started)")
    _write(folder, recipe, tune)
    return folder, tune, lock


def _write(folder: Path, recipe: Recipe, tune: Tune) -> None:
    record = _Record(recipe=recipe, trials=tune.trials)
    write_whole(folder / _RECORD, record.model_dump_json(indent=1) + "\n")


def _check_recipe(study: str, before: Recipe, now: Recipe) -> None:
    assert now.tune is not None
    last = STEPS.index(now.tune.step)
    fields = [
        {path: value for path, value in fields_of(recipe).items() if STEPS.index(first_reader(path)) <= last}
        | {f"tune.{name}": value for name, value in (recipe.tune.model_dump() if recipe.tune else {}).items()}
        for recipe in (before, now)
    ]
    if paths := differing(*fields):
        lines = [f"  {path}: {fields[0].get(path)!r} in the study, now {fields[1].get(path)!r}" for path in paths]
        more = [f"  and {len(paths) - _SHOWN} more"] if len(paths) > _SHOWN else []
        hint = "; for more trials, give --trials" if "tune.trials" in paths else ""
        shown = "\n".join([*lines[:_SHOWN], *more])
        raise ValueError(
            f"{study} had another recipe:\n{shown}\nChange the recipe back, or start a new study without --resume{hint}"
        )
