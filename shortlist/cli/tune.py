"""`shortlist tune`: trials of a recipe with other values, and the best one as a recipe."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shortlist.cli.places import RecipePath, Work, find_places

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shortlist.recipe import Tune
    from shortlist.tuning.trials import Trial


_STARTED = re.compile(r"Executing task '([\w-]+)'")


def tune(
    recipe: RecipePath,
    work: Work = None,
    trials: Annotated[
        int | None, typer.Option(help="The number of trials, instead of that of the recipe.", min=1)
    ] = None,
    parallel: Annotated[int, typer.Option(help="The number of trials at a time.", min=1)] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the last study of this recipe.")] = False,
    address: Annotated[
        str | None,
        typer.Option(
            help="A Ray cluster, like ray://host:10001; without it, this machine.", envvar="RAY_ADDRESS", metavar="RAY"
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
    from shortlist.cli.study import check_installed, prepare_study, run_study, steps_shared
    from shortlist.tuning.page import write_comparison
    from shortlist.tuning.recipe_text import diff, tuned_text
    from shortlist.tuning.space import check_tune, shared_until
    from shortlist.tuning.trials import read_trials

    places = find_places(recipe, work)
    settings = check_tune(places.recipe, str(recipe))
    check_sql(places.recipe, recipe)
    check_installed()
    if trials is not None:
        settings = settings.model_copy(update={"trials": trials})
    study = _study(places.work / "tune" / places.recipe.name, resume=resume)
    typer.echo(f"study     {study}")
    typer.echo(f"shared    {steps_shared(shared_until(settings))}")
    shared = prepare_study(study, places.recipe, settings, places.project, _say_step)
    typer.echo(f"trials    {settings.trials}, {parallel} at a time, by {settings.metric} of {settings.step}")
    run_study(study, places, settings, shared, parallel, address)
    found = read_trials(study)
    _show(found, settings)
    write_comparison(study, places.recipe.name, settings, found)
    typer.echo(f"report    {study / 'report.html'}")
    best = found[0] if found else None
    if best is None or best.best is None:
        raise ValueError(f"no trial finished an epoch; the first says: {best.state if best else 'nothing'}")
    to = out or recipe.with_suffix(f".tuned{recipe.suffix}")
    text = recipe.read_text(encoding="utf-8")
    tuned = tuned_text(text, best.values, str(recipe))
    to.write_text(tuned, encoding="utf-8")
    typer.echo(f"best      {to}: {settings.metric} {best.best:.4f} on validation\n")
    typer.echo(diff(text, tuned, (str(recipe), str(to))))
    typer.echo(f"next      shortlist run {to}")


def _say_step(line: str) -> None:
    if started := _STARTED.search(line):
        typer.echo(f"          {started[1]}")


def _study(folder: Path, *, resume: bool) -> Path:
    """The folder of a new study, or of the last one. Raises ValueError if there is none to go on with."""
    if not resume:
        new = folder / datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        new.mkdir(parents=True)
        return new
    studies = sorted(folder.glob("*-*")) if folder.is_dir() else []
    if not studies:
        raise ValueError(f"{folder}: there is no study to resume")
    return studies[-1]


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
