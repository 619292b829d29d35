"""`shortlist validate --data`: tries the recipe on its data in a temporary folder."""

import contextlib
import os
import tempfile
from pathlib import Path

import typer

from shortlist.cli.places import project_of
from shortlist.dry_run import try_recipe
from shortlist.recipe import Recipe


def try_data(recipe: Recipe, file: Path) -> None:
    """Report what was read, quarantined and prepared. Raises the errors of the steps."""
    project = project_of(file)
    with tempfile.TemporaryDirectory(prefix="shortlist-try-") as folder, contextlib.chdir(project):
        # Torch creates a folder for its compiler on import, even if nothing is compiled.
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path(folder) / "torch"))
        try_recipe(recipe, Path(folder), typer.echo)
