"""`shortlist serve` and `shortlist recommend`: serve the live release of a recipe on this machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shortlist.cli.places import Places, RecipePath, Work, find_places

if TYPE_CHECKING:
    from rich.console import Console

_OF_ALL_USERS = {"k", "rules", "sources", "objective"}
"""What a query of many users may hold besides their ids."""


def serve(
    recipe: RecipePath,
    work: Work = None,
    port: Annotated[int, typer.Option(help="The port of the transformer on this machine.")] = 8080,
    workers: Annotated[int, typer.Option(help="Number of transformer processes.")] = 1,
    follow: Annotated[
        bool,
        typer.Option(
            help="Switch to a release that becomes live (by a run, promote or rollback), or keep the current."
        ),
    ] = True,
) -> None:
    """Serve the live release with a transformer and a predictor until Ctrl-C.

    When another release becomes live, its predictor is started next to the old one, and the transformer switches
    between two requests, so that no request fails and none mixes releases. If the new release cannot be served, this is
    reported and the old release stays.
    """
    import contextlib
    import json

    from shortlist.cli.answer import complete
    from shortlist.serving import follow as following
    from shortlist.serving.local import LocalService

    places = find_places(recipe, work)
    release = live_release(places)
    say(f"starting release {release.name} ...")
    service = LocalService(release, http_port=port, workers=workers, availability=places.availability)
    with contextlib.suppress(KeyboardInterrupt), service:
        body = json.dumps({"instances": [complete(release, {"k": 10})]}, ensure_ascii=False)
        say(
            f"up: {service.url}\n    curl -s {service.url} -H 'Content-Type: application/json' -d '{body}'\n"
            f"    metrics: http://127.0.0.1:{service.http_port}/metrics"
        )
        if not follow:
            say(f"serving release {release.name} only\nCtrl-C ends it")
            service.wait()
        say(f"following {places.root.url}/live.json\nCtrl-C ends it")
        following.follow(service, places.root, places.cache, say)


def recommend(
    recipe: RecipePath,
    user: Annotated[
        str | None, typer.Option(help="The id of a user; by default a user that the release knows.")
    ] = None,
    item: Annotated[
        list[str] | None, typer.Option(help="An item of the history, in time order; may be repeated.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="An item that must not be recommended; may be repeated.")
    ] = None,
    similar_to: Annotated[str | None, typer.Option(help="Recommend items that are similar to this one.")] = None,
    user_json: Annotated[
        str | None, typer.Option(help='Columns of a new user as a JSON object, like \'{"country": "SE"}\'.')
    ] = None,
    rules: Annotated[
        str | None,
        typer.Option(help='Rules of the recommendations as a JSON object, like \'{"at_most": {"artist": 1}}\'.'),
    ] = None,
    source: Annotated[
        list[str] | None, typer.Option(help="A candidate source of the recipe to use, by name; may be repeated.")
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(help='Weights of the objectives as a JSON object, like \'{"positive": 1, "liked": 0.5}\'.'),
    ] = None,
    k: Annotated[int | None, typer.Option(help="Number of items; by default the recipe's serving.default_k.")] = None,
    users: Annotated[
        Path | None,
        typer.Option(help="Many users: Parquet or CSV with a column user_id, or text with a user in each line."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write the lists of --users, as Parquet.")] = None,
    work: Work = None,
) -> None:
    """Show the recommendations of the live release for one query; starts and stops the services for it.

    With --users and --out, write the recommendations for many users to a Parquet file, without services.
    """
    from rich.console import Console

    if (users is None) != (out is None):
        raise typer.BadParameter("--users and --out go together", param_hint="--users" if out is None else "--out")
    given: dict[str, Any] = {"user_id": user, "history": item, "exclude": exclude, "item_id": similar_to, "k": k}
    given |= {"sources": source, "objective": _object("--objective", objective)}
    given |= {"user": _object("--user-json", user_json), "rules": _object("--rules", rules)}
    query = {key: value for key, value in given.items() if value}
    if users is not None and out is not None:
        for key in query.keys() - _OF_ALL_USERS:
            raise typer.BadParameter(f"{key} is of one user; leave it out with --users", param_hint="--users")
        say(f"wrote {_batch(find_places(recipe, work), users, query, out):,} rows to {out}")
        return
    recommend_once(find_places(recipe, work), query, Console(highlight=False, soft_wrap=True))


def _batch(places: Places, file: Path, query: dict[str, Any], out: Path) -> int:
    from shortlist.cpus import limit_threads

    limit_threads()  # before the libraries below are imported
    from shortlist.batch.lists import AT_ONCE, write_lists
    from shortlist.batch.users import users_in

    users = users_in(file, AT_ONCE)
    availability = places.recipe.serving.availability
    if availability is not None:
        availability = availability.model_copy(update={"path": places.availability})
    return write_lists(live_release(places), lambda _: users, query, out, availability).rows


def _object(option: str, text: str | None) -> dict[str, Any] | None:
    """Raises BadParameter when an option is not a JSON object."""
    import json

    if text is None:
        return None
    try:
        found = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not JSON: {error}", param_hint=option) from None
    if not isinstance(found, dict):
        raise typer.BadParameter(f"{text!r} is not a JSON object, like '{{\"name\": 1}}'", param_hint=option)
    return found


def recommend_once(places: Places, query: dict[str, Any], console: "Console") -> None:
    """Start the services, show the recommendations for one query with warnings for unknown ids, and stop them."""
    from shortlist.cli.answer import complete, show_answer, unknown
    from shortlist.serving.local import LocalService

    release = live_release(places)
    query = complete(release, query)
    for line in unknown(release, query):
        typer.echo(f"warning: {line}", err=True)
    with LocalService(release, availability=places.availability) as service:
        service.ask(query)  # warms up the services
        show_answer(query, service.ask(query), console)


def live_release(places: Places) -> Path:
    """The folder of the live release. Raises ValueError when there is none."""
    from shortlist.release.bundle import open_release

    return open_release(places.root.url, places.live(), places.cache)


def say(text: str) -> None:
    """Print lines and flush them, since a process that starts this one may wait for them."""
    import sys

    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
