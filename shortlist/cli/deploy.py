"""`shortlist deploy`: a live InferenceService to another release."""

import re
from pathlib import Path
from typing import Annotated

import typer

from shortlist.cli.places import Work, find_places

_NAME = re.compile(r"(?:(?P<root>.+)/releases/)?(?P<name>[0-9a-f]{16})/?")


def deploy(
    what: Annotated[
        str,
        typer.Argument(help="A recipe, which means its live release; or a release, by name or s3:// address."),
    ],
    namespace: Annotated[str, typer.Option(help="Of the InferenceService.")] = "shortlist",
    service: Annotated[str, typer.Option(help="The InferenceService's name.")] = "shortlist",
    context: Annotated[str | None, typer.Option(help="Of the kubeconfig; by default its current one.")] = None,
    min_overlap: Annotated[
        float, typer.Option(help="Share of the live lists' items that the new lists must have too.", min=0, max=1)
    ] = 0.1,
    queries: Annotated[int, typer.Option(help="How many the live and the new release are both asked.", min=1)] = 50,
    timeout: Annotated[float, typer.Option(help="Seconds that each step may take.", min=1)] = 300.0,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace",
            help="Do not keep the live release beside the new one: for when it can no longer be loaded, as after a "
            "change of RELEASES. No answer is lost, but they come unranked while the predictor rolls over.",
        ),
    ] = False,
    work: Work = None,
) -> None:
    """Point a live InferenceService at another release; no request fails, and it goes back by itself when that fails.

    The predictor learns the new release beside the live one; a transformer that nobody reaches is asked and compared
    with the live one; then the transformers go over, one by one, and each is asked.
    """
    from shortlist.serving.deploy.cluster import Cluster  # brings the Kubernetes client, for this command alone
    from shortlist.serving.deploy.deploy import Options
    from shortlist.serving.deploy.deploy import deploy as swap

    root, name = release_of(what, work)
    cluster = Cluster(namespace, service, context)
    options = Options(timeout, min_overlap, queries, root, replace)
    done = swap(cluster, name, options, typer.echo)
    took = ", ".join(f"{step} {seconds:.1f} s" for step, seconds in done.seconds.items()) or "nothing to do"
    typer.echo(f"live: {done.release}; before: {done.before or 'none'}; {took}")


def release_of(what: str, work: Path | None = None) -> tuple[str | None, str]:
    """Root and name of a release; no root where only the name is given. Raises ValueError."""
    if found := _NAME.fullmatch(what):
        return found["root"], found["name"]
    if not what.endswith((".yaml", ".yml")):
        raise ValueError(
            f"{what!r} is neither a recipe (a .yaml file) nor a release: 16 hexadecimal digits, alone or at the end of "
            "s3://<bucket>/<recipe>/releases/; see `shortlist releases list`"
        )
    places = find_places(Path(what), work)
    return places.root.url, places.live()
