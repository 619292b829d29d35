"""`shortlist`: the entry point of the command line.

Exit codes: 0 success, 1 a step or a service failed, 2 an error in the recipe or the command line, 3 the gate refused
the release, 130 interrupted, 143 (SIGTERM) and 129 (SIGHUP) terminated by a signal.

Commands import libraries in their bodies, so that `shortlist --help` loads none of them.
"""

import os
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from shortlist.cli import releases, runs
from shortlist.cli.deploy import deploy
from shortlist.cli.index_compare import index_compare
from shortlist.cli.init import init
from shortlist.cli.machine import prepare_machine, user_name
from shortlist.cli.places import RecipePath, Work, find_places
from shortlist.cli.runner import Runner
from shortlist.cli.serve import recommend, serve
from shortlist.cli.signals import Terminated, end_on_signals
from shortlist.cli.submit import submit
from shortlist.cli.track import track
from shortlist.cli.tune import tune

app = typer.Typer(
    help="From a recipe to a live recommender. A recipe is one YAML file; start with `shortlist init`.",
    epilog="Runs and releases are stored in the work folder: --work, or the variable SHORTLIST_WORK, or .work of the "
    "project. The project is the nearest folder at or above the recipe's folder that has a .work, or the current "
    "folder. Relative paths in a recipe start at the project folder.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def run(
    recipe: RecipePath,
    work: Work = None,
    force: Annotated[
        bool, typer.Option("--force", help="Publish even if the gate refuses; your name is recorded.")
    ] = False,
    answer: Annotated[bool, typer.Option(help="At the end, serve the live release and show recommendations.")] = True,
    runner: Annotated[
        Runner, typer.Option(help="Run steps in processes, or in containers of the image.")
    ] = Runner.SUBPROCESS,
    keep: Annotated[
        int, typer.Option(help="Number of runs of the recipe to keep, including this one and active ones.", min=1)
    ] = 5,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with RUN, or with the last run that did not finish.")
    ] = False,
    run: Annotated[
        str | None,
        typer.Argument(help="With --resume: the run's name, its first characters, or 'last'.", metavar="[RUN]"),
    ] = None,
    taken_from: Annotated[
        str | None,
        typer.Option(
            "--from", help="Start a new run that takes over the outputs of RUN which did not change.", metavar="RUN"
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Stop after this step, like prepare; --resume goes on.", metavar="STEP")
    ] = None,
) -> None:
    """Run the pipeline on this machine, publish the release, and show recommendations from it.

    Runs the compiled pipeline, the same file as on a cluster, step by step on this machine. Then it starts the
    predictor and the transformer on free local ports, shows the recommendations for one user, and stops them.

    With --resume, complete steps of an interrupted run are not run again, and a training continues from its last
    checkpoint. With --from, a changed recipe runs from the first step that reads what changed.
    """
    from rich.console import Console

    from shortlist.cli.checked import check_sql
    from shortlist.cli.going_on import run_to_resume, run_to_take_from, step_named
    from shortlist.cli.outcome import show_outcome
    from shortlist.cli.run import RunOptions, run_pipeline
    from shortlist.cli.serve import recommend_once
    from shortlist.report import RunRecord

    if resume and taken_from is not None:
        raise typer.BadParameter("--resume goes on with a run, --from starts a new one; give one of them")
    if run is not None and not resume:
        raise typer.BadParameter(f"a run is given with --resume {run} or --from {run}", param_hint="RUN")
    try:
        last = None if until is None else step_named(until)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--until") from None
    places = find_places(recipe, work)
    check_sql(places.recipe, recipe)
    if places.recipe.tracking is not None and runner is Runner.SUBPROCESS:
        from shortlist.tracking.log import check_installed

        check_installed()
    options = RunOptions(
        runner,
        user_name() if force else None,
        run_to_resume(places, run) if resume else None,
        None if taken_from is None else run_to_take_from(places, taken_from),
        last,
    )
    if runner is Runner.DOCKER:
        from shortlist.cli.docker_runner import check_docker  # only this runner needs the Docker client

        check_docker()
    console = Console(highlight=False, soft_wrap=True)
    done = run_pipeline(places, keep, console, options)
    if done is None:
        console.print(f"\nstopped after {last}; nothing was published", markup=False)
        return
    show_outcome(RunRecord.model_validate_json(done.record.read_text()), console)
    if answer and done.decision["live"]:
        recommend_once(places, {}, console)
    console.print(
        f"\nreport    {done.report}\nrecord    {done.record}\n"
        f"next      {_program()} serve {recipe}\n"
        f"          {_program()} recommend {recipe} --user ID\n"
        f"          {_program()} releases list {recipe}\n"
        f"          {_program()} runs list {recipe}",
        markup=False,
    )
    if not done.decision["published"]:
        raise typer.Exit(3)


app.command()(init)
app.command()(serve)
app.command()(recommend)
app.command()(submit)
app.command()(deploy)
app.command()(index_compare)
app.command()(track)
app.command()(tune)
app.add_typer(runs.app, name="runs")
app.add_typer(releases.app, name="releases")


@app.command()
def validate(
    recipe: RecipePath,
    show: Annotated[bool, typer.Option(help="Print the recipe as a run would use it.")] = False,
    data: Annotated[
        bool, typer.Option("--data", help="Also read the data, check the contract and train each model for a step.")
    ] = False,
) -> None:
    """Check a recipe and its SQL expressions; without --data, no data is read."""
    from shortlist.cli.checked import checked_recipe
    from shortlist.recipe import dump_recipe

    typed = checked_recipe(recipe)
    if data:
        from shortlist.cli.try_data import try_data

        try_data(typed, recipe)
        typer.echo(f"next       {_program()} run {recipe}")
        return
    typer.echo(dump_recipe(typed).rstrip() if show else f"{recipe}: the recipe {typed.name!r} is valid")


@app.command()
def digests(
    run: Annotated[Path, typer.Argument(help="A run's folder, or its run.json.", metavar="RUN")],
    other: Annotated[Path | None, typer.Argument(help="Another run, to compare.", metavar="[RUN]")] = None,
) -> None:
    """Show or compare the digests of runs, which must be equal on all machines; exit code 1 if they differ."""
    from shortlist.release.digests import read_digests

    found = read_digests(run)
    compared = None if other is None else read_digests(other)
    for name, digest in found:
        beside = "" if compared is None else f"  {getattr(compared, name)}"
        typer.echo(f"{name:<9} {digest}{beside}")
    if compared is not None and (differing := found.differing(compared)):
        _fail(f"not equal: {', '.join(differing)}", 1)


@app.command()
def schema() -> None:
    """Print the JSON schema of recipes, for editors."""
    from shortlist.cli.schema import schema_text

    typer.echo(schema_text(), nl=False)


def _program() -> str:
    """The command that starts this program from the current folder."""
    beside = Path(sys.executable).with_name("shortlist")
    return "shortlist" if shutil.which("shortlist") else os.path.relpath(beside)


def main() -> None:
    """The entry point; turns an error that the user can fix into one message and an exit code."""
    prepare_machine()
    end_on_signals()
    try:
        app()
    except Terminated as end:
        _fail(str(end), end.exit_code)
    except (ValueError, OSError, RuntimeError) as error:
        if not _is_for_the_user(error):
            raise
        _fail(str(error), 2 if type(error).__name__ == "RecipeError" else 1)


def _is_for_the_user(error: Exception) -> bool:
    """Whether the user can fix the error; of all RuntimeErrors, only ours are such errors."""
    from shortlist.pipelines.errors import BackEndError, RunFailedError
    from shortlist.serving.child import ServiceError
    from shortlist.serving.deploy.errors import ClusterError, RefusedError

    ours = RunFailedError, BackEndError, ServiceError, ClusterError, RefusedError
    return isinstance(error, (ValueError, OSError, *ours))


def _fail(message: str, code: int) -> None:
    typer.echo(message, err=True)
    sys.exit(code)
