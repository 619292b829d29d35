"""Where runs and releases of a recipe are stored, for all commands. docs/runs-and-releases.md explains the rule.

The project folder is the nearest folder at or above the recipe's folder that has a folder `.work`; the search stops at
the home folder. If there is none, it is the current folder if the recipe is at or below it, otherwise the recipe's
folder. Relative paths in the recipe start at the project folder.

The work folder is `--work`, or the variable SHORTLIST_WORK, or `.work` of the project folder. Paths `.work/...` in the
recipe are below it, like the releases if `publish.to` is not set.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from shortlist.recipe import Recipe, Tracking
    from shortlist.storage import Storage

WORK = ".work"

RecipePath = Annotated[Path, typer.Argument(help="The recipe's YAML file.", metavar="RECIPE")]
Work = Annotated[
    Path | None,
    typer.Option(
        "--work",
        envvar="SHORTLIST_WORK",
        help="The folder of runs, releases and downloads. [default: .work of the project, which is the nearest folder "
        "at or above the recipe's folder that has one, or the current folder]",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class Places:
    """A recipe and the locations of its runs and releases; all paths are absolute."""

    file: Path
    """The recipe's file, as given by the user."""
    recipe: "Recipe"
    """Its `publish.to` is an absolute path or an address."""
    project: Path
    """The project folder, where the recipe's relative paths start."""
    work: Path

    @property
    def runs(self) -> Path:
        """The folder of this recipe's runs."""
        return self.work / "runs" / self.recipe.name

    @property
    def cache(self) -> Path:
        """The folder of downloaded releases."""
        return self.work / "cache"

    @property
    def availability(self) -> str | None:
        """The recipe's availability file; its path is absolute or an address."""
        file = self.recipe.serving.availability
        if file is None or "://" in file.path:
            return None if file is None else file.path
        return str(self.project / Path(file.path).expanduser())

    @property
    def root(self) -> "Storage":
        """The storage of this recipe's releases."""
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
        """The error message for a recipe without runs or releases, with the place that was searched."""
        place = self.runs if "run" in what.split() else self.root.url
        return (
            f"{what} of {self.recipe.name!r} in {place}; run: shortlist run {self.file}, or give its folder with "
            "--work or SHORTLIST_WORK"
        )


def find_places(file: Path, work: Path | None) -> Places:
    """Read a recipe and find its locations; `work` is the value of the option. Raises RecipeError."""
    from shortlist.recipe import load_recipe

    recipe = load_recipe(file)
    project = project_of(file)
    found = project / WORK if work is None else work.absolute()
    to = _located(recipe.publish.to, project, found)
    publish = recipe.publish.model_copy(update={"to": to})
    tracking = _tracking(recipe.tracking, project, found)
    return Places(file, recipe.model_copy(update={"publish": publish, "tracking": tracking}), project, found)


def project_of(file: Path) -> Path:
    """The project folder of a recipe."""
    folder, current = file.absolute().parent.resolve(), Path.cwd().resolve()
    for above in (folder, *folder.parents):
        # A `.work` in the home folder or in the root folder does not make it the project of everything below.
        if above != folder and above in (_home(), Path(above.anchor)):
            break
        if (above / WORK).is_dir():
            return above
    return current if folder.is_relative_to(current) else folder


def _tracking(tracking: "Tracking | None", project: Path, work: Path) -> "Tracking | None":
    """With the absolute path of its folder, if that is what it is logged to."""
    from shortlist.tracking.place import DEFAULT_FOLDER, is_folder

    if tracking is None or (tracking.uri is None and "MLFLOW_TRACKING_URI" in os.environ):
        return tracking
    uri = tracking.uri or DEFAULT_FOLDER
    return tracking.model_copy(update={"uri": _located(uri, project, work) if is_folder(uri) else uri})


def _located(to: str, project: Path, work: Path) -> str:
    """The absolute path of a folder in a recipe; an address stays as it is."""
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
