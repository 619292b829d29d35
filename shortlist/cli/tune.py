"""`shortlist tune`: trials of a recipe with other values, and the best one as a recipe."""

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shortlist.cli.places import RecipePath, Work, find_places

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shortlist.cli.places import Places
    from shortlist.recipe import Step, Tune
    from shortlist.tuning.trials import Trial


_STARTED = re.compile(r"Executing task '([\w-]+)'")


def tune(
    recipe: RecipePath,
    work: Work = None,
    trials: Annotated[
        int | None,
        typer.Option(
            help="The number of trials, instead of that of the recipe; with --resume, of all trials together.", min=1
        ),
    ] = None,
    parallel: Annotated[int, typer.Option(help="The number of trials at a time.", min=1)] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the last study of this recipe.")] = False,
    address: Annotated[
        str | None,
        typer.Option(
            help="A Ray cluster, like host:6379; without it, this machine.", envvar="RAY_ADDRESS", metavar="RAY"
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The recipe of the best trial; by default beside RECIPE.", show_default=False)
    ] = None,
) -> None:
    """Try other values of the fields in the recipe's `tune` block, compared on the validation window.

    The data is prepared once. Each trial trains with other values; trials that are behind are stopped early (ASHA).
    Writes a report with all trials, and the best one as a recipe. The test window is not read.
    """
    from shortlist.cli.checked import check_sql
    from shortlist.cli.study import check_installed, run_study
    from shortlist.cli.study_folders import new_study, resume_study
    from shortlist.tuning.space import check_tune, shared_until
    from shortlist.tuning.trials import read_trials

    places = find_places(recipe, work)
    check_tune(places.recipe, str(recipe))
    check_sql(places.recipe, recipe)
    check_installed()
    study, settings, lock = (resume_study if resume else new_study)(
        places.work / "tune" / places.recipe.name, places.recipe, trials
    )
    try:
        typer.echo(f"study     {study}")
        shared = _run_shared(study, places, shared_until(settings))
        typer.echo(f"trials    {settings.trials}, {parallel} at a time, by {settings.metric} of {settings.step}")
        run_study(study, places, settings, shared, parallel, address, partial(_say_epoch, settings.metric))
    except BaseException:
        typer.echo(f"To go on with this study: shortlist tune {recipe} --resume")
        raise
    finally:
        lock.close()
    _conclude(study, recipe, settings, read_trials(study), out or recipe.with_suffix(f".tuned{recipe.suffix}"))


def _run_shared(study: Path, places: "Places", until: "Step | None") -> Path | None:
    """Run the steps that all trials have in common; returns their folder, or None if there are none."""
    from shortlist.cli.trial import run_steps

    if until is None:
        typer.echo("shared    nothing: each trial reads the data")
        return None
    typer.echo(f"shared    the steps until {until}")
    run_steps(study / "shared", places.recipe, until, places.project, _say_step)
    return study / "shared"


def _say_step(line: str) -> None:
    if started := _STARTED.search(line):
        typer.echo(f"          {started[1]}")


def _say_epoch(metric: str, trial: str, epoch: int, epochs: int, value: float) -> None:
    typer.echo(f"          trial {trial} epoch {epoch} of {epochs}: {metric} {value:.4f}")


def _conclude(study: Path, recipe: Path, settings: "Tune", found: "Sequence[Trial]", to: Path) -> None:
    """Show and write the comparison, and write the best trial to `to`. Raises ValueError if no trial has a metric."""
    from shortlist.tuning.page import write_comparison
    from shortlist.tuning.recipe_text import diff, tuned_text

    _show(found, settings)
    write_comparison(study, recipe.stem, settings, found)
    typer.echo(f"report    {study / 'report.html'}")
    best = found[0] if found else None
    if best is None or best.best is None:
        raise ValueError(f"no trial finished an epoch; the first says: {best.state if best else 'nothing'}")
    text = recipe.read_text(encoding="utf-8")
    tuned = tuned_text(text, best.values, str(recipe))
    to.write_text(tuned, encoding="utf-8")
    typer.echo(f"best      {to}: {settings.metric} {best.best:.4f} on validation\n")
    typer.echo(diff(text, tuned, (str(recipe), str(to))))
    typer.echo(f"next      shortlist run {to}")


def _show(found: "Sequence[Trial]", settings: "Tune") -> None:
    from rich.table import Table

    from shortlist.cli.tables import print_table

    table = Table(pad_edge=False)
    for name in ("trial", *settings.fields, "epochs", settings.metric, "state"):
        table.add_column(name)
    for one in found:
        values = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in one.values.values()]
        best = "" if one.best is None else f"{one.best:.4f}"
        state = one.state.splitlines()[0] if one.state else ""
        table.add_row(one.name, *values, str(len(one.curve)), best, state)
    print_table(table)
