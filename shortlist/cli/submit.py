"""`shortlist submit`: runs the same pipeline on a cluster."""

import os
import sys
from typing import Annotated

import typer

from shortlist.cli.machine import user_name
from shortlist.cli.places import RecipePath


def submit(
    recipe: RecipePath,
    host: Annotated[
        str, typer.Option(help="The address of the Kubeflow Pipelines API.", envvar="KF_PIPELINES_ENDPOINT")
    ] = "http://127.0.0.1:8888",
    namespace: Annotated[str, typer.Option(help="The namespace of runs, in a multi-user installation.")] = "kubeflow",
    experiment: Annotated[
        str | None, typer.Option(help="The experiment of the run; by default the recipe's name.")
    ] = None,
    image: Annotated[str | None, typer.Option(help="The image of the steps; by default the released one.")] = None,
    cron: Annotated[
        str | None,
        typer.Option(help="Create a recurring run: second minute hour day month weekday, like '0 0 3 * * *'."),
    ] = None,
    wait: Annotated[bool, typer.Option(help="Follow the run until it ends.")] = True,
    force: Annotated[
        bool, typer.Option("--force", help="Publish even if the gate refuses; your name is recorded.")
    ] = False,
) -> None:
    """Run the pipeline on a cluster with Kubeflow Pipelines, with the `resources` of the recipe.

    The token for an installation with a login is read from KFP_TOKEN. Ctrl-C stops following the run, not the run.
    """
    # kfp takes a second to import, which must not delay other commands.
    from shortlist.cli.checked import checked_recipe
    from shortlist.components.image import PIPELINE_IMAGE
    from shortlist.pipelines import back_end, follow, submit

    typed = checked_recipe(recipe)
    submit.check_recipe(typed, str(recipe))
    api = back_end.connect(host, namespace, os.environ.get("KFP_TOKEN"))
    forced_by = user_name() if force else None
    started, left_out = submit.start(api, typed, experiment or typed.name, image or PIPELINE_IMAGE, forced_by, cron)
    for one in left_out:
        typer.echo(f"warning: this version of Kubeflow Pipelines does not support {one}; left out")
    if cron is not None:
        typer.echo(f"recurring run {started}: {cron}\n{api.host}/#/recurringrun/details/{started}")
        return
    typer.echo(f"run {started}\n{api.run_page(started)}")
    if not wait:
        return
    try:
        steps = follow.Follower(api, started, typer.echo).until_the_end()
    except KeyboardInterrupt:
        typer.echo(f"no longer following; the run continues: {api.run_page(started)}")
        sys.exit(130)
    outcome = follow.outcome_of(api, started, steps)
    typer.echo("\n".join(outcome.lines))
    if not outcome.published:
        raise typer.Exit(3)
