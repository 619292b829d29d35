"""`shortlist deploy`: switches a live InferenceService to another release."""

import re
from pathlib import Path
from typing import Annotated

import typer

from shortlist.cli.places import Work, find_places

_NAME = re.compile(r"(?:(?P<root>.+)/releases/)?(?P<name>[0-9a-f]{16})/?")


def deploy(
    what: Annotated[
        str,
        typer.Argument(help="A recipe, for its live release; or a release, by name or s3:// address."),
    ],
    namespace: Annotated[str, typer.Option(help="The namespace of the InferenceService.")] = "shortlist",
    service: Annotated[str, typer.Option(help="The name of the InferenceService.")] = "shortlist",
    context: Annotated[
        str | None, typer.Option(help="The context of the kubeconfig; by default the current one.")
    ] = None,
    min_overlap: Annotated[
        float,
        typer.Option(help="Minimum share of the live recommendations that the new ones must contain.", min=0, max=1),
    ] = 0.1,
    queries: Annotated[int, typer.Option(help="Number of queries for the comparison of both releases.", min=1)] = 50,
    timeout: Annotated[float, typer.Option(help="Time limit of each step, in seconds.", min=1)] = 300.0,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace",
            help="Do not keep the live release next to the new one, if it can no longer be loaded, as after a change "
            "of RELEASES. No request is lost, but recommendations are unranked while the predictor is rolled out.",
        ),
    ] = False,
    work: Work = None,
) -> None:
    """Switch a live InferenceService to another release; no request fails, and a failed switch is rolled back.

    The predictor first loads the new release next to the live one. A transformer without traffic is then queried and
    compared with the live one. Finally the transformers are rolled out one by one, and each is queried.
    """
    from shortlist.serving.deploy.cluster import Cluster  # imports the Kubernetes client, for this command only
    from shortlist.serving.deploy.deploy import Options
    from shortlist.serving.deploy.deploy import deploy as swap

    root, name = release_of(what, work)
    cluster = Cluster(namespace, service, context)
    options = Options(timeout, min_overlap, queries, root, replace)
    done = swap(cluster, name, options, typer.echo)
    took = ", ".join(f"{step} {seconds:.1f} s" for step, seconds in done.seconds.items()) or "nothing to do"
    typer.echo(f"live: {done.release}; before: {done.before or 'none'}; {took}")


def release_of(what: str, work: Path | None = None) -> tuple[str | None, str]:
    """The root and the name of a release; the root is None if only the name is given. Raises ValueError."""
    if found := _NAME.fullmatch(what):
        return found["root"], found["name"]
    if not what.endswith((".yaml", ".yml")):
        raise ValueError(
            f"{what!r} is neither a recipe (a .yaml file) nor a release: 16 hexadecimal digits, alone or after "
            "s3://<bucket>/<recipe>/releases/; see `shortlist releases list`"
        )
    places = find_places(Path(what), work)
    return places.root.url, places.live()
