"""`shortlist serve` and `shortlist recommend`: the live release of a recipe on this machine."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from shortlist.cli.places import Places, RecipePath, Work, find_places

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console


def serve(
    recipe: RecipePath,
    work: Work = None,
    port: Annotated[int, typer.Option(help="Of the transformer, on this machine.")] = 8080,
    workers: Annotated[int, typer.Option(help="Processes of the transformer.")] = 1,
    follow: Annotated[
        bool,
        typer.Option(help="Go over to what becomes live (a run, promote, rollback), or stay on what is live now."),
    ] = True,
) -> None:
    """Keep the live release up, transformer and predictor, until Ctrl-C.

    When another release becomes live, its predictor is started beside and the transformer goes over between two
    requests: none fails, none is mixed. One that cannot be served is told, and what answered goes on.
    """
    import contextlib
    import json

    from shortlist.cli.answer import complete
    from shortlist.serving import follow as following
    from shortlist.serving.local import LocalService

    places = find_places(recipe, work)
    release = live_release(places)
    say(f"starting release {release.name} ...")
    service = LocalService(release, http_port=port, workers=workers)
    with contextlib.suppress(KeyboardInterrupt), service:
        body = json.dumps({"instances": [complete(release, {"k": 10})]}, ensure_ascii=False)
        say(
            f"up: {service.url}\n    curl -s {service.url} -H 'Content-Type: application/json' -d '{body}'\n"
            f"    metrics: http://127.0.0.1:{service.http_port}/metrics"
        )
        if not follow:
            say(f"stays on release {release.name}, whatever becomes live\nCtrl-C ends it")
            service.wait()
        say(f"follows {places.root.url}/live.json\nCtrl-C ends it")
        following.follow(service, places.root, places.cache, say)


def recommend(
    recipe: RecipePath,
    user: Annotated[str | None, typer.Option(help="A user's id; by default one that the release knows.")] = None,
    item: Annotated[list[str] | None, typer.Option(help="An item of a raw history, in time order; repeat it.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="An item that must not come back; repeat it.")] = None,
    similar_to: Annotated[str | None, typer.Option(help="List the items that are similar to this one.")] = None,
    user_json: Annotated[
        str | None, typer.Option(help='Raw columns of a new user as a JSON object, like \'{"country": "SE"}\'.')
    ] = None,
    rules: Annotated[
        str | None, typer.Option(help='Rules of the list as a JSON object, like \'{"at_most": {"artist": 1}}\'.')
    ] = None,
    k: Annotated[int | None, typer.Option(help="How many items; by default the recipe's serving.default_k.")] = None,
    work: Work = None,
) -> None:
    """One list from the live release, asked of services that are started for it."""
    from rich.console import Console

    given: dict[str, Any] = {"user_id": user, "history": item, "exclude": exclude, "item_id": similar_to, "k": k}
    given |= {"user": _object("--user-json", user_json), "rules": _object("--rules", rules)}
    query = {key: value for key, value in given.items() if value}
    ask(find_places(recipe, work), query, Console(highlight=False, soft_wrap=True))


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


def ask(places: Places, query: dict[str, Any], console: "Console") -> None:
    """Start the services, show the answer to one query and what of it the release does not know, and stop them."""
    from shortlist.cli.answer import complete, show_answer, unknown
    from shortlist.serving.local import LocalService

    release = live_release(places)
    asked = complete(release, query)
    for line in unknown(release, asked):
        typer.echo(f"warning: {line}", err=True)
    with LocalService(release) as service:
        service.ask(asked)  # the first answer pays for warming up
        show_answer(asked, service.ask(asked), console)


def live_release(places: Places) -> "Path":
    """The folder of what is live. Raises ValueError when nothing is."""
    from shortlist.release.bundle import open_release

    return open_release(places.root.url, places.live(), places.cache)


def say(text: str) -> None:
    """One or a few lines, at once: whoever starts this in the background waits for them."""
    import sys

    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
