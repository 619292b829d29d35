"""`shortlist releases`: lists, shows, promotes, rolls back and prunes releases."""

from typing import TYPE_CHECKING, Annotated

import typer

from shortlist.cli.machine import user_name
from shortlist.cli.places import Places, RecipePath, Work, find_places
from shortlist.cli.tables import print_table

if TYPE_CHECKING:
    from shortlist.release.bundle import Live
    from shortlist.release.registry import Listed

app = typer.Typer(help="List, show, promote and roll back the releases of a recipe.", no_args_is_help=True)

Release = Annotated[str, typer.Argument(help="The release's name, or its first characters.", metavar="RELEASE")]


@app.command("list")
def list_all(recipe: RecipePath, work: Work = None) -> None:
    """List all complete releases, newest first."""
    from datetime import UTC, datetime

    from rich.table import Table

    from shortlist.release.registry import list_releases

    places = find_places(recipe, work)
    metric_name = places.recipe.gate.metric
    table = Table(pad_edge=False)
    for name in ("release", "published (UTC)", "", "MB", metric_name):
        table.add_column(name)
    for one in list_releases(places.root):
        at = datetime.fromtimestamp(one.published, UTC).strftime("%Y-%m-%d %H:%M:%S")
        state = "live" if one.is_live else "previous" if one.is_previous else ""
        if one.manifest is None:
            table.add_row(one.name, at, state, "", one.problem)
            continue
        metric = one.manifest.metrics.get(metric_name)
        table.add_row(one.name, at, state, f"{one.manifest.num_bytes / 1e6:.1f}", str(metric or ""))
    if not table.row_count:
        raise ValueError(places.none("no release"))
    print_table(table)


@app.command()
def show(
    recipe: RecipePath,
    release: Annotated[
        str | None, typer.Argument(help="The release's name, or its first characters; by default the live one.")
    ] = None,
    work: Work = None,
) -> None:
    """Print the manifest: files with their SHA-256, metrics, lineage."""
    places = find_places(recipe, work)
    found = _find(places, places.live() if release is None else release)
    typer.echo(found.manifest.model_dump_json(indent=1) if found.manifest else found.problem)


@app.command()
def promote(recipe: RecipePath, release: Release, work: Work = None) -> None:
    """Make an earlier release live without the gate; your name is recorded."""
    from shortlist.release import registry

    places = find_places(recipe, work)
    _say(registry.promote(places.root, _find(places, release).name, user_name()))


@app.command()
def rollback(recipe: RecipePath, work: Work = None) -> None:
    """Make the previous release live; a second rollback reverts this."""
    from shortlist.release import registry

    places = find_places(recipe, work)
    places.live()
    _say(registry.rollback(places.root))


@app.command()
def prune(
    recipe: RecipePath,
    keep: Annotated[int, typer.Option(help="Number of newest releases to keep.")] = 5,
    work: Work = None,
) -> None:
    """Delete old releases; the live and the previous one are always kept."""
    from shortlist.release import registry

    places = find_places(recipe, work)
    if not places.root.list("releases"):
        raise ValueError(places.none("no release"))
    deleted = registry.prune(places.root, keep)
    typer.echo(f"deleted: {', '.join(deleted) or 'none'}")


def _find(places: Places, start: str) -> "Listed":
    from shortlist.release.registry import find, list_releases

    listed = list_releases(places.root)
    if not listed:
        raise ValueError(places.none("no release"))
    return find(listed, start, places.root.url)


def _say(live: "Live") -> None:
    typer.echo(f"live: {live.release}; before: {live.previous or 'none'}")
