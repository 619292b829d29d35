"""`shortlist submit`: the same pipeline on a cluster."""

import os
import sys
from typing import Annotated

import typer

from shortlist.cli.machine import user_name
from shortlist.cli.places import RecipePath


def submit(
    recipe: RecipePath,
    host: Annotated[
        str, typer.Option(help="Address of the Kubeflow Pipelines API.", envvar="KF_PIPELINES_ENDPOINT")
    ] = "http://127.0.0.1:8888",
    namespace: Annotated[str, typer.Option(help="Where runs live, in an installation for many users.")] = "kubeflow",
    experiment: Annotated[str | None, typer.Option(help="Groups runs; by default the recipe's name.")] = None,
    image: Annotated[str | None, typer.Option(help="Image of the steps, by default the released one.")] = None,
    cron: Annotated[
        str | None, typer.Option(help="Run again and again: second minute hour day month weekday, like '0 0 3 * * *'.")
    ] = None,
    wait: Annotated[bool, typer.Option(help="Follow the run to its end.")] = True,
    force: Annotated[bool, typer.Option("--force", help="Publish what the gate refuses; records who did.")] = False,
) -> None:
    """The pipeline on a cluster: by Kubeflow Pipelines, with what the recipe's `resources` ask for.

    A token for an installation with a login is taken from KFP_TOKEN. Ctrl-C stops the following, not the run.
    """
    # kfp takes a second to import; `shortlist recommend` must not wait for it.
    from shortlist.cli.checked import checked_recipe
    from shortlist.components.image import PIPELINE_IMAGE
    from shortlist.pipelines import back_end, follow, submit

    typed = checked_recipe(recipe)
    submit.check_recipe(typed, str(recipe))
    api = back_end.connect(host, namespace, os.environ.get("KFP_TOKEN"))
    forced_by = user_name() if force else None
    started, left_out = submit.start(api, typed, experiment or typed.name, image or PIPELINE_IMAGE, forced_by, cron)
    for one in left_out:
        typer.echo(f"warning: this Kubeflow Pipelines is too old for {one}; left out")
    if cron is not None:
        typer.echo(f"recurring run {started}: {cron}\n{api.host}/#/recurringrun/details/{started}")
        return
    typer.echo(f"run {started}\n{api.run_page(started)}")
    if not wait:
        return
    try:
        steps = follow.Follower(api, started, typer.echo).until_the_end()
    except KeyboardInterrupt:
        typer.echo(f"no longer followed; the run goes on: {api.run_page(started)}")
        sys.exit(130)
    outcome = follow.outcome_of(api, started, steps)
    typer.echo("\n".join(outcome.lines))
    if not outcome.published:
        raise typer.Exit(3)
