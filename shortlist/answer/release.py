"""Finds and opens the release that a service serves."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from shortlist.answer.query import QueryReader
from shortlist.features import FeatureStore
from shortlist.recipe import Recipe, load_released_recipe
from shortlist.release.bundle import open_release, read_manifest, verify
from shortlist.release.manifest import MANIFEST, is_name
from shortlist.storage import open_storage
from shortlist.storage.folder import Folder


@dataclass(frozen=True)
class Release:
    """An opened release; its arrays are memory-mapped."""

    folder: Path
    name: str
    """The content hash."""
    recipe: Recipe
    store: FeatureStore
    ranks: bool
    """Whether it has a ranker."""

    @cached_property
    def reader(self) -> QueryReader:
        """The reader of requests, with the limits, columns and objectives of this release."""
        return QueryReader(self.recipe.serving, self.store.schema, self.recipe.interactions.objectives)

    @classmethod
    def open(cls, folder: Path) -> "Release":
        """Open the folder that `find_release` returned. Raises ValueError for files of another schema."""
        manifest = read_manifest(folder)
        recipe, store = load_released_recipe(folder / "recipe.yaml"), FeatureStore.open(folder / "features")
        return cls(folder, manifest.name, recipe, store, (folder / "ranking").is_dir())


def find_release(where: str, cache_dir: Path) -> Path:
    """The verified folder of the release that `where` names.

    `where` is a release's folder, `<root>/releases/<name>`, or a root, which means its live release. Both may be
    `s3://`, which is downloaded to `cache_dir` once. Raises ValueError and StorageError (an OSError).
    """
    storage = open_storage(where)
    if isinstance(storage, Folder) and (storage.root / MANIFEST).exists():
        verify(storage.root)
        return storage.root
    root, found, name = where.rstrip("/").rpartition("/releases/")
    # A root may itself be below a folder named releases; the name of a release is its hash.
    if found and is_name(name):
        return open_release(root, name, cache_dir)
    return open_release(where, None, cache_dir)
