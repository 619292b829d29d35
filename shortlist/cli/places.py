"""Where a recipe's runs and releases lie: the one rule, for every command. docs/runs-and-releases.md explains it.

The project folder is the nearest one at or above the recipe's that has a folder `.work`, looked for up to the home
folder. Where none has, it is the current folder if that is the recipe's own or above it, else the recipe's own.
Relative paths in the recipe start there.

The work folder is `--work`, else the variable SHORTLIST_WORK, else `.work` of the project folder. What the recipe
calls `.work/...` lies in it, like the releases where `publish.to` is not set.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from shortlist.recipe import Recipe
    from shortlist.storage import Storage

WORK = ".work"

RecipePath = Annotated[Path, typer.Argument(help="The recipe's YAML file.", metavar="RECIPE")]
Work = Annotated[
    Path | None,
    typer.Option(
        "--work",
        envvar="SHORTLIST_WORK",
        help="The folder of runs, releases and downloads. [default: .work of the project: of the nearest folder at or "
        "above the recipe's that has one, else of the current folder]",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class Places:
    """A recipe and where its things lie; all paths are absolute."""

    file: Path
    """The recipe's file, as it was given."""
    recipe: "Recipe"
    """Its `publish.to` is an absolute path or an address."""
    project: Path
    """Where the recipe's relative paths start."""
    work: Path

    @property
    def runs(self) -> Path:
        """The folders of this recipe's runs."""
        return self.work / "runs" / self.recipe.name

    @property
    def cache(self) -> Path:
        """Releases that were downloaded."""
        return self.work / "cache"

    @property
    def root(self) -> "Storage":
        """Of this recipe's releases."""
        from shortlist.release.publish import release_root

        return release_root(self.recipe)

    def live(self) -> str:
        """The name of the live release. Raises ValueError when there is none."""
        from shortlist.release.bundle import read_live

        live = read_live(self.root)
        if live is None:
            raise ValueError(self.none("no live release"))
        return live.release

    def none(self, what: str) -> str:
        """A message for a recipe of which nothing is known, with where that was looked for."""
        place = self.runs if "run" in what.split() else self.root.url
        return (
            f"{what} of {self.recipe.name!r} in {place}; run: shortlist run {self.file}, or say where it lies with "
            "--work or SHORTLIST_WORK"
        )


def find_places(file: Path, work: Path | None) -> Places:
    """Read a recipe and say where its things lie; `work` is the option's value. Raises RecipeError."""
    from shortlist.recipe import load_recipe

    recipe = load_recipe(file)
    project = project_of(file)
    found = project / WORK if work is None else work.absolute()
    to = _publish_to(recipe.publish.to, project, found)
    publish = recipe.publish.model_copy(update={"to": to})
    return Places(file, recipe.model_copy(update={"publish": publish}), project, found)


def project_of(file: Path) -> Path:
    """Where the relative paths of a recipe start."""
    folder, current = file.absolute().parent.resolve(), Path.cwd().resolve()
    for above in (folder, *folder.parents):
        # A `.work` of the home folder, or of the whole machine, is not that of every project below it.
        if above != folder and above in (_home(), Path(above.anchor)):
            break
        if (above / WORK).is_dir():
            return above
    return current if folder.is_relative_to(current) else folder


def _publish_to(to: str, project: Path, work: Path) -> str:
    if "://" in to:
        return to
    path = Path(to).expanduser()
    if path.is_absolute():
        return str(path)
    first, *rest = path.parts or (".",)
    return str(work.joinpath(*rest) if first == WORK else project / to)


def _home() -> Path | None:
    try:
        return Path.home().resolve()
    except RuntimeError:  # a user id without a name has none
        return None
