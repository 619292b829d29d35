"""`shortlist init`: writes a first recipe for a user's files."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

Source = Annotated[str, typer.Argument(help="The log: a file, a folder or s3://.", metavar="EVENTS")]


def init(
    events: Source,
    items: Annotated[str | None, typer.Option(help="The table of items: a file, a folder or s3://.")] = None,
    users: Annotated[str | None, typer.Option(help="The table of users: a file, a folder or s3://.")] = None,
    user: Annotated[str | None, typer.Option(help="The user column of the events.")] = None,
    item: Annotated[str | None, typer.Option(help="The item column of the events.")] = None,
    time: Annotated[
        str | None,
        typer.Option(
            help="The time column of the events; `row` if the rows are in time order, `none` without an order."
        ),
    ] = None,
    item_key: Annotated[str | None, typer.Option(help="The item column of --items.")] = None,
    user_key: Annotated[str | None, typer.Option(help="The user column of --users.")] = None,
    separator: Annotated[str | None, typer.Option(help="The field separator of the events.")] = None,
    encoding: Annotated[str | None, typer.Option(help="The encoding of the events, like latin-1 or cp1251.")] = None,
    out: Annotated[Path | None, typer.Option(help="The recipe's file. [default: <name>.yaml]")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing recipe.")] = False,
) -> None:
    """Read a sample of your data and write a commented recipe for it.

    Prints each guess with its reason. If a column cannot be guessed, the command stops and shows the available columns
    and the option to pass.
    """
    from shortlist.data.sources.check_expressions import check_expressions
    from shortlist.data.tables import disk_errors
    from shortlist.propose import ProposalRequest, propose, recipe_text, summary
    from shortlist.propose.propose import name_of
    from shortlist.recipe import parse_recipe
    from shortlist.storage.base import write_whole

    to = Path(f"{name_of(events)}.yaml") if out is None else out
    if to.exists() and not force:
        raise ValueError(f"{to}: already exists; pass --force to replace it, or --out for another name")
    if not to.absolute().parent.is_dir():
        raise ValueError(f"{to.parent}: there is no such folder; create it, or pass another --out")
    request = ProposalRequest(
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
        proposal = propose(request, Path(scratch))
    tables = {"events": events, "items": items, "users": users}
    text = recipe_text(proposal, {name: _written(path, to) for name, path in tables.items() if path is not None})
    check_expressions(parse_recipe(text, str(to)), str(to), text)
    write_whole(to, text)
    for guess in summary(proposal):
        typer.echo(f"{'' if guess.sure else '? '}{guess.what:<{14 if guess.sure else 12}}{guess.value:<28} {guess.why}")
    typer.echo(f"\nwrote {to}; check the lines with ?\nnext  shortlist validate --data {to}")


def _written(path: str, recipe: Path) -> str:
    """A path as it is written in the recipe: relative if it is below the project folder, otherwise absolute."""
    from shortlist.cli.places import project_of

    if "://" in path:
        return path
    place, project = Path(path).expanduser().absolute(), project_of(recipe)
    return str(place.relative_to(project)) if place.is_relative_to(project) else str(place)
