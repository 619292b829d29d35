"""`shortlist validate --data`: the recipe tried on its data, in a folder that goes away."""

import contextlib
import os
import tempfile
from pathlib import Path

import typer

from shortlist.cli.places import project_of
from shortlist.dry_run import try_recipe
from shortlist.recipe import Recipe


def try_data(recipe: Recipe, file: Path) -> None:
    """Tell what was read, quarantined and prepared. Raises what the steps raise."""
    project = project_of(file)
    with tempfile.TemporaryDirectory(prefix="shortlist-try-") as folder, contextlib.chdir(project):
        # Torch makes a folder for its compiler when it is loaded, whether it compiles or not.
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path(folder) / "torch"))
        try_recipe(recipe, Path(folder), typer.echo)
