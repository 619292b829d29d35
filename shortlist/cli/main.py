"""`shortlist`: from a recipe to a served answer.

Exit codes: 0 done, 1 a step or a service failed, 2 the recipe or the command line is wrong, 3 the gate refused the
release, 130 interrupted, 143 (SIGTERM) and 129 (SIGHUP) ended from outside.

Commands import what they need in their bodies: `shortlist --help` loads none of the libraries.
"""

import os
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from shortlist.cli import releases, runs
from shortlist.cli.deploy import deploy
from shortlist.cli.init import init
from shortlist.cli.machine import prepare_machine, user_name
from shortlist.cli.places import RecipePath, Work, find_places
from shortlist.cli.runner import Runner
from shortlist.cli.serve import recommend, serve
from shortlist.cli.signals import Terminated, end_on_signals
from shortlist.cli.submit import submit

app = typer.Typer(
    help="From a recipe to a live recommender. A recipe is one YAML file; start with `shortlist init`.",
    epilog="Runs and releases lie in the work folder: --work, else the variable SHORTLIST_WORK, else .work of the "
    "project, which is the nearest folder at or above the recipe's that has one, else the current folder. Relative "
    "paths in a recipe start at the project folder.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def run(
    recipe: RecipePath,
    work: Work = None,
    force: Annotated[bool, typer.Option("--force", help="Publish what the gate refuses; records who did.")] = False,
    answer: Annotated[bool, typer.Option(help="At the end, serve the live release and ask it for a list.")] = True,
    runner: Annotated[
        Runner, typer.Option(help="Steps in processes, or in containers of the image.")
    ] = Runner.SUBPROCESS,
    keep: Annotated[
        int, typer.Option(help="How many runs of the recipe are kept, with this one; those that run always are.", min=1)
    ] = 5,
) -> None:
    """Raw events to a published release and one served, ranked answer.

    Runs the compiled pipeline, the very file that a cluster is given, step by step on this machine; then starts the
    predictor and the transformer on free local ports, asks for one user's list, shows it, and stops them.
    """
    from rich.console import Console

    from shortlist.cli.checked import check_sql
    from shortlist.cli.outcome import show_outcome
    from shortlist.cli.run import run_pipeline
    from shortlist.cli.serve import ask
    from shortlist.report import RunRecord

    places = find_places(recipe, work)
    check_sql(places.recipe, recipe)
    if runner is Runner.DOCKER:
        from shortlist.cli.docker_runner import check_docker  # only this runner needs Docker's client

        check_docker()
    console = Console(highlight=False, soft_wrap=True)
    done = run_pipeline(places, keep, console, runner, user_name() if force else None)
    show_outcome(RunRecord.model_validate_json(done.record.read_text()), console)
    if answer and done.decision["live"]:
        ask(places, {}, console)
    console.print(
        f"\nreport    {done.report}\nrecord    {done.record}\n"
        f"go on     {_program()} serve {recipe}\n"
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
app.add_typer(runs.app, name="runs")
app.add_typer(releases.app, name="releases")


@app.command()
def validate(
    recipe: RecipePath,
    show: Annotated[bool, typer.Option(help="Print the recipe as a run would take it.")] = False,
    data: Annotated[
        bool, typer.Option("--data", help="Read the data too, check the contract and take one training step.")
    ] = False,
) -> None:
    """Check a recipe and every SQL expression in it; without --data nothing is read or run."""
    from shortlist.cli.checked import checked_recipe
    from shortlist.recipe import dump_recipe

    typed = checked_recipe(recipe)
    if data:
        from shortlist.cli.try_data import try_data

        try_data(typed, recipe)
        typer.echo(f"next       {_program()} run {recipe}")
        return
    typer.echo(dump_recipe(typed).rstrip() if show else f"{recipe}: a sound recipe, {typed.name!r}")


@app.command()
def digests(
    run: Annotated[Path, typer.Argument(help="A run's folder, or its run.json.", metavar="RUN")],
    other: Annotated[Path | None, typer.Argument(help="Another run, to compare.", metavar="[RUN]")] = None,
) -> None:
    """What two runs of one recipe must have in common, wherever they ran; exit code 1 where they differ."""
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
    """The recipe's JSON schema, for editors."""
    from shortlist.cli.schema import schema_text

    typer.echo(schema_text(), nl=False)


def _program() -> str:
    """How to call this program again from here."""
    beside = Path(sys.executable).with_name("shortlist")
    return "shortlist" if shutil.which("shortlist") else os.path.relpath(beside)


def main() -> None:
    """The command line's entry; turns what a user can mend into one message and an exit code."""
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
    """Whether its message says all; of the RuntimeErrors only ours do."""
    from shortlist.pipelines.errors import BackEndError, RunFailedError
    from shortlist.serving.child import ServiceError
    from shortlist.serving.deploy.errors import ClusterError, RefusedError

    ours = RunFailedError, BackEndError, ServiceError, ClusterError, RefusedError
    return isinstance(error, (ValueError, OSError, *ours))


def _fail(message: str, code: int) -> None:
    typer.echo(message, err=True)
    sys.exit(code)
