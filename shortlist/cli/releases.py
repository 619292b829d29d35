"""`shortlist releases`: what was published, what is live, and back to an earlier one."""

import getpass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from shortlist.recipe import load_recipe
from shortlist.release import releases
from shortlist.release.publish import release_root
from shortlist.release.release import Live
from shortlist.storage import Storage

app = typer.Typer(help="List, show, promote and roll back the releases of a recipe.", no_args_is_help=True)

RecipePath = Annotated[Path, typer.Argument(help="The recipe's YAML file.", metavar="RECIPE")]
Release = Annotated[str, typer.Argument(help="The release's name, or how it starts.", metavar="RELEASE")]

_console = Console(highlight=False, soft_wrap=True)


def _root(recipe: Path) -> Storage:
    return release_root(load_recipe(recipe))


def _say(live: Live) -> None:
    _console.print(f"live: {live.release}; before: {live.previous or 'none'}")


@app.command("list")
def list_all(recipe: RecipePath) -> None:
    """Every whole release, the newest first."""
    typed = load_recipe(recipe)
    table = Table(pad_edge=False)
    for name in ("release", "published (UTC)", "", "MB", typed.gate.metric):
        table.add_column(name)
    for one in releases.list_releases(release_root(typed)):
        at = datetime.fromtimestamp(one.published, UTC).strftime("%Y-%m-%d %H:%M:%S")
        state = "live" if one.is_live else "previous" if one.is_previous else ""
        if one.manifest is None:
            table.add_row(one.name, at, state, "", one.problem)
            continue
        metric = one.manifest.metrics.get(typed.gate.metric)
        shown = f"{metric.mean:.4f} ({metric.low:.4f} to {metric.high:.4f})" if metric else ""
        table.add_row(one.name, at, state, f"{one.manifest.num_bytes / 1e6:.1f}", shown)
    _console.print(table)


@app.command()
def show(recipe: RecipePath, release: Release) -> None:
    """The manifest: files with their SHA-256, metrics, lineage."""
    found = releases.find(_root(recipe), release)
    _console.print(found.manifest.model_dump_json(indent=1) if found.manifest else found.problem, markup=False)


@app.command()
def promote(recipe: RecipePath, release: Release) -> None:
    """Make a release live that was published before, without asking the gate; records who did."""
    root = _root(recipe)
    _say(releases.promote(root, releases.find(root, release).name, getpass.getuser()))


@app.command()
def rollback(recipe: RecipePath) -> None:
    """Make the release live that was so before; a second time takes it back."""
    _say(releases.rollback(_root(recipe)))


@app.command()
def prune(recipe: RecipePath, keep: Annotated[int, typer.Option(help="How many of the newest are kept.")] = 5) -> None:
    """Delete old releases; the live and the previous one always stay."""
    gone = releases.prune(_root(recipe), keep)
    _console.print(f"deleted: {', '.join(gone) or 'none'}")
