"""`shortlist init`: a first recipe for files that nobody has written a recipe for."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

Source = Annotated[str, typer.Argument(help="The log: a file, a folder or s3://.", metavar="EVENTS")]


def init(
    events: Source,
    items: Annotated[str | None, typer.Option(help="What describes the items: a file, a folder or s3://.")] = None,
    users: Annotated[str | None, typer.Option(help="What describes the users: a file, a folder or s3://.")] = None,
    user: Annotated[str | None, typer.Option(help="The events column of the user.")] = None,
    item: Annotated[str | None, typer.Option(help="The events column of the item.")] = None,
    time: Annotated[
        str | None,
        typer.Option(help="The events column of the time; `row` for the order of the rows, `none` for no order."),
    ] = None,
    item_key: Annotated[str | None, typer.Option(help="The column of --items that holds the item.")] = None,
    user_key: Annotated[str | None, typer.Option(help="The column of --users that holds the user.")] = None,
    separator: Annotated[str | None, typer.Option(help="Between the fields of the events.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Of the events, like latin-1 or cp1251.")] = None,
    out: Annotated[Path | None, typer.Option(help="The recipe's file. [default: <name>.yaml]")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a recipe that is there.")] = False,
) -> None:
    """Look at a sample of your data and write a commented recipe for it.

    Prints what was guessed and why. What cannot be guessed stops it, with the columns there are and the option to pass.
    """
    from shortlist.data.tables import disk_errors
    from shortlist.propose import ProposalRequest, propose, recipe_text, summary
    from shortlist.propose.propose import name_of
    from shortlist.recipe import parse_recipe
    from shortlist.storage.base import write_whole

    to = Path(f"{name_of(events)}.yaml") if out is None else out
    if to.exists() and not force:
        raise ValueError(f"{to}: is there already; pass --force to replace it, or --out for another name")
    if not to.absolute().parent.is_dir():
        raise ValueError(f"{to.parent}: there is no such folder; make it, or pass another --out")
    asked = ProposalRequest(
        events,
        items,
        users,
        user,
        item,
        time,
        item_key,
        user_key,
        separator.replace("\\t", "\t") if separator else None,
        encoding,
    )
    with tempfile.TemporaryDirectory(prefix="shortlist-init-") as scratch, disk_errors(Path(scratch)):
        proposal = propose(asked, Path(scratch))
    tables = {"events": events, "items": items, "users": users}
    text = recipe_text(proposal, {name: _written(path, to) for name, path in tables.items() if path is not None})
    parse_recipe(text, str(to))
    write_whole(to, text)
    for guess in summary(proposal):
        typer.echo(f"{'' if guess.sure else '? '}{guess.what:<{14 if guess.sure else 12}}{guess.value:<28} {guess.why}")
    typer.echo(f"\nwrote {to}; lines with ? are worth a look\nnext  shortlist validate --data {to}")


def _written(path: str, recipe: Path) -> str:
    """A path as the recipe is to have it: relative to the project folder where it lies below it, else absolute."""
    from shortlist.cli.places import project_of

    if "://" in path:
        return path
    place, project = Path(path).expanduser().absolute(), project_of(recipe)
    return str(place.relative_to(project)) if place.is_relative_to(project) else str(place)
