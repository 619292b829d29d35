"""`shortlist`: from a recipe to a served answer.

Exit codes: 0 done, 1 a step or a service failed, 2 the recipe or the command line is wrong, 3 the gate refused the
release, 130 interrupted.
"""

import contextlib
import getpass
import os
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipelines.errors import BackEndError, RunFailedError
from serving.deploy.errors import ClusterError, RefusedError
from serving.local import LocalService, ServiceError
from shortlist.cli import releases
from shortlist.cli.answer import question_of, show_answer
from shortlist.cli.checked import checked_recipe
from shortlist.cli.deploy import deploy
from shortlist.cli.run import Runner, run_pipeline
from shortlist.cli.schema import schema_text
from shortlist.cli.submit import submit
from shortlist.recipe import Recipe, RecipeError, dump_recipe, load_recipe
from shortlist.release.digests import read_digests
from shortlist.release.publish import release_root
from shortlist.release.release import open_release

app = typer.Typer(
    help="From a recipe to a live recommender. A recipe is one YAML file; start with recipes/demo.yaml.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(submit)
app.add_typer(releases.app, name="releases")
app.command()(deploy)

RecipePath = Annotated[Path, typer.Argument(help="The recipe's YAML file.", metavar="RECIPE")]
Work = Annotated[Path, typer.Option(help="Where runs and downloaded releases are kept.")]
WORK = Path(".work")

_console = Console(highlight=False, soft_wrap=True)
_errors = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)


@app.command()
def run(
    recipe: RecipePath,
    work: Work = WORK,
    force: Annotated[bool, typer.Option("--force", help="Publish what the gate refuses; records who did.")] = False,
    answer: Annotated[bool, typer.Option(help="At the end, serve the live release and ask it for a list.")] = True,
    runner: Annotated[
        Runner, typer.Option(help="Steps in processes, or in containers of the image.")
    ] = Runner.SUBPROCESS,
) -> None:
    """Raw events to a published release and one served, ranked answer.

    Runs the compiled pipeline, the very file that a cluster is given, step by step on this machine; then starts the
    predictor and the transformer on free local ports, asks for one user's list, shows it, and stops them.
    """
    typed = checked_recipe(recipe)
    if runner is Runner.DOCKER:
        from shortlist.cli.docker_runner import check_docker  # noqa: PLC0415  # only this runner needs Docker's client

        check_docker()
    done = run_pipeline(typed, work, _console, runner, getpass.getuser() if force else None)
    verdict = "published" if done.decision["published"] else "refused"
    _console.print(f"\n{verdict}: release {done.decision['release']}: {done.decision['reason']}", markup=False)
    if answer and done.decision["live"]:
        _ask(typed, work, None, [], None)
    _console.print(
        f"\nreport    {done.report}\nrecord    {done.record}\n"
        f"go on     {_program()} serve {recipe}\n"
        f"          {_program()} recommend {recipe} --user ID\n"
        f"          {_program()} releases list {recipe}",
        markup=False,
    )
    if not done.decision["published"]:
        raise typer.Exit(3)


@app.command()
def serve(
    recipe: RecipePath,
    work: Work = WORK,
    port: Annotated[int, typer.Option(help="Of the transformer, on this machine.")] = 8080,
    workers: Annotated[int, typer.Option(help="Processes of the transformer.")] = 1,
) -> None:
    """Keep the live release up, transformer and predictor, until Ctrl-C."""
    typed = load_recipe(recipe)
    release = _live(typed, work)
    _console.print(f"starting release {release.name} ...")
    service = LocalService(release, http_port=port, workers=workers)
    with contextlib.suppress(KeyboardInterrupt), service:
        user = question_of(release, None, [], None)["user_id"]
        body = f'{{"instances": [{{"user_id": {user!r}, "k": 10}}]}}'.replace("'", '"')
        _console.print(
            f"up: {service.url}\n    curl -s {service.url} -H 'Content-Type: application/json' -d '{body}'\n"
            f"    metrics: http://127.0.0.1:{service.http_port}/metrics\nCtrl-C ends it",
            markup=False,
        )
        service.wait()


@app.command()
def recommend(
    recipe: RecipePath,
    user: Annotated[str | None, typer.Option(help="A user's id; by default one that the release knows.")] = None,
    item: Annotated[list[str] | None, typer.Option(help="An item of a raw history, in time order; repeat it.")] = None,
    k: Annotated[int | None, typer.Option(help="How many items; by default the recipe's serving.default_k.")] = None,
    work: Work = WORK,
) -> None:
    """One list from the live release, asked of services that are started for it."""
    _ask(load_recipe(recipe), work, user, item or [], k)


@app.command()
def validate(
    recipe: RecipePath,
    show: Annotated[bool, typer.Option(help="Print the recipe as a run would take it.")] = False,
) -> None:
    """Check a recipe and every SQL expression in it; nothing is read or run."""
    typed = checked_recipe(recipe)
    _console.print(dump_recipe(typed) if show else f"{recipe}: a sound recipe, {typed.name!r}", markup=False)


@app.command()
def digests(
    run: Annotated[Path, typer.Argument(help="A run's folder, or its run.json.", metavar="RUN")],
    other: Annotated[Path | None, typer.Argument(help="Another run, to compare.", metavar="[RUN]")] = None,
) -> None:
    """What two runs of one recipe must have in common, wherever they ran; exit code 1 where they differ."""
    found = read_digests(run)
    compared = None if other is None else read_digests(other)
    for name, digest in found:
        beside = "" if compared is None else f"  {getattr(compared, name)}"
        _console.print(f"{name:<9} {digest}{beside}")
    if compared is not None and (differing := found.differing(compared)):
        _fail(f"not equal: {', '.join(differing)}", 1)


@app.command()
def schema() -> None:
    """The recipe's JSON schema, for editors."""
    sys.stdout.write(schema_text())


def _program() -> str:
    """How to call this program again from here."""
    beside = Path(sys.executable).with_name("shortlist")
    return "shortlist" if shutil.which("shortlist") else os.path.relpath(beside)


def _live(recipe: Recipe, work: Path) -> Path:
    return open_release(release_root(recipe).url, cache_dir=work / "cache")


def _ask(recipe: Recipe, work: Path, user: str | None, items: list[str], k: int | None) -> None:
    release = _live(recipe, work)
    question = question_of(release, user, items, k)
    with LocalService(release) as service:
        service.ask(question)  # the first answer pays for warming up
        show_answer(question, service.ask(question), _console)


def main() -> None:
    """The command line's entry; turns what a user can mend into one message and an exit code."""
    try:
        app()
    except RecipeError as error:
        _fail(str(error), 2)
    except (RunFailedError, BackEndError, ServiceError, ClusterError, RefusedError, ValueError, OSError) as error:
        _fail(str(error), 1)


def _fail(message: str, code: int) -> None:
    _errors.print(message)
    sys.exit(code)
