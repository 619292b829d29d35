"""Makes, opens and verifies releases: the folders that are served.

    <root>/live.json                     which release is live; publishing swaps this pointer
    <root>/releases/<name>/manifest.json the files below with their hashes; written last
                          /recipe.yaml   the recipe, with environment variables expanded
                          /evaluation.json
                          /features/, retrieval/, index/, ranking/ (with a ranker)

`<root>` is `<publish.to>/<recipe name>`, in a folder or in a bucket.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from shortlist.hashing import hash_files, hash_of_hashes
from shortlist.names import below
from shortlist.recipe import Publish, Recipe, Resources, dump_recipe
from shortlist.release.manifest import (
    MANIFEST,
    RELEASE_SCHEMA,
    FileEntry,
    Interval,
    Lineage,
    Manifest,
    ReleaseError,
    check_release,
    entries,
    file_names,
    parse_manifest,
)
from shortlist.storage import MissingError, Storage, Stored, open_storage
from shortlist.storage.base import from_os_error

__all__ = [
    "RELEASE_SCHEMA",
    "FileEntry",
    "Interval",
    "Lineage",
    "Live",
    "Manifest",
    "ReleaseError",
    "assemble",
    "lineage_of",
    "open_release",
    "parse_live",
    "read_live",
    "read_manifest",
    "read_pointer",
    "release_key",
    "verify",
]

LIVE = "live.json"


class Live(BaseModel):
    """live.json: the live release, the previous one, and who overruled the gate for it."""

    model_config = ConfigDict(frozen=True)

    release: Annotated[str, AfterValidator(check_release)]
    previous: Annotated[str, AfterValidator(check_release)] | None = None
    forced_by: str | None = None
    at: str
    """The time at which it became live, ISO 8601 in UTC."""


def release_key(name: str, file: str = "") -> str:
    """The key of a release's folder, or of a file in it."""
    return f"releases/{name}/{file}" if file else f"releases/{name}"


def lineage_of(recipe: Recipe, data: str) -> Lineage:
    """The lineage of a release: the recipe, this code, and `data`, the digest of the prepared data."""
    code = f"{importlib.metadata.version('shortlist')}+{code_fingerprint()}"
    text = _recipe_text(recipe)
    return Lineage(recipe_sha256=hashlib.sha256(text.encode()).hexdigest(), code=code, data=data)


def assemble(
    parts: Mapping[str, Path],
    recipe: Recipe,
    evaluation: Path,
    lineage: Lineage,
    into: Path,
    *,
    serves: Literal["path", "retrieval"] = "path",
) -> Manifest:
    """Build the release's folder `into` from step folders (name in the release -> folder), by hard links or copies.

    `serves` is the system of the evaluation whose metrics the manifest shows: retrieval if the ranker is left out.

    The release leaves out everything that could differ between two runs over the same input: the recipe's `publish`,
    `batch`, `resources`, `tracking` and `tune`, and the comparison with the live release. The sample users are for the
    report only and are left out as well. Raises ReleaseError for a step folder that is empty or missing, StorageError
    for a full disk.
    """
    try:
        for part, folder in parts.items():
            names = file_names(folder) if folder.is_dir() else []
            if not names:
                raise ReleaseError(f"{folder}: no files for the release's {part}/; run the step that writes it again")
            for name in names:
                _link(folder / name, into / part / name)
        metrics = json.loads(evaluation.read_text())
        metrics.pop("live", None)
        metrics.pop("sample_users", None)
        (into / "evaluation.json").write_text(json.dumps(metrics, indent=1, sort_keys=True) + "\n")
        (into / "recipe.yaml").write_text(_recipe_text(recipe))
        manifest = Manifest(
            recipe=recipe.name,
            files=entries(into, file_names(into)),
            metrics=metrics["systems"][serves],
            lineage=lineage,
        )
        (into / MANIFEST).write_bytes(manifest.canonical())
    except OSError as error:
        raise from_os_error(error, into) from error
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a release's folder. Raises ReleaseError when it is missing or has another schema."""
    path = folder / MANIFEST
    try:
        return parse_manifest(path.read_bytes(), str(path))
    except FileNotFoundError:
        raise ReleaseError(f"{folder}: not a release: it has no {MANIFEST}") from None


def verify(folder: Path, name: str | None = None) -> Manifest:
    """Compare every file of a release's folder with its manifest, and the manifest with the release's name.

    Raises ReleaseError, which names the first wrong file, what was expected and what was found.
    """
    remedy = "copy the release here again, publish it again (`shortlist run`), or roll back to another one"
    manifest = read_manifest(folder)
    if name is not None and manifest.name != name:
        raise ReleaseError(f"{folder / MANIFEST}: expected the release {name}, found {manifest.name}; {remedy}")
    missing = [file for file in manifest.files if not (folder / file).is_file()]
    if missing:
        raise ReleaseError(f"{folder / missing[0]}: this file of release {manifest.name} is missing; {remedy}")
    try:
        found_files = entries(folder, manifest.files)
    except OSError as error:
        raise from_os_error(error, error.filename or folder) from error
    for file, found in found_files.items():
        expected = manifest.files[file]
        if found != expected:
            raise ReleaseError(
                f"{folder / file}: corrupted: expected SHA-256 {expected.sha256} of {expected.size} bytes, "
                f"found {found.sha256} of {found.size} bytes; {remedy}"
            )
    return manifest


def read_pointer(root: Storage) -> Stored | None:
    """The bytes of live.json, or None if no release has been live. Raises StorageError."""
    try:
        return root.read(LIVE)
    except MissingError:
        return None


def parse_live(stored: Stored | None, root: Storage) -> Live | None:
    """The content of live.json. Raises ReleaseError when it is broken."""
    if stored is None:
        return None
    try:
        return Live.model_validate_json(stored.data)
    except ValidationError as error:
        raise ReleaseError(
            f"{root.url}/{LIVE}: cannot be read ({error.errors()[0]['msg']}); "
            "rewrite it with `shortlist releases promote`"
        ) from None


def read_live(root: Storage) -> Live | None:
    """The content of live.json, or None. Raises StorageError, and ReleaseError for a broken pointer."""
    return parse_live(read_pointer(root), root)


def open_release(url: str, name: str | None = None, cache_dir: Path | None = None) -> Path:
    """The verified folder of a release below the root `url`; without a name, of the live one.

    A release in a local folder is used in place. Any other release is downloaded once to `cache_dir`/<name>, where it
    appears completely or not at all. Raises ReleaseError (a ValueError) and StorageError (an OSError).
    """
    root = open_storage(url)
    if name is None:
        live = read_live(root)
        if live is None:
            raise ReleaseError(f"{url}: no release is live; run the recipe (`shortlist run`) to publish one")
        name = live.release
    try:
        here = root.path(release_key(check_release(name)))
    except ValueError as error:
        raise ReleaseError(f"{url}: {error}; see `shortlist releases list`") from None
    if here is not None:
        if not here.is_dir():
            raise _no_such(root, name)
        verify(here, name)
        return here
    if cache_dir is None:
        raise ValueError(f"{url}: this release is not in a local folder; give a cache_dir to download it to")
    cached = below(cache_dir, name)
    if cached.is_dir():
        with contextlib.suppress(ReleaseError):  # a damaged copy is downloaded again
            verify(cached, name)
            return cached
        shutil.rmtree(cached)
    try:
        return _download(root, name, cached)
    except OSError as error:
        raise from_os_error(error, cached) from error


def _download(root: Storage, name: str, cached: Path) -> Path:
    cached.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cached.parent, prefix=".partial-") as partial:
        folder = below(Path(partial), name)
        folder.mkdir()
        place = f"{root.url}/{release_key(name, MANIFEST)}"
        try:
            data = root.read(release_key(name, MANIFEST)).data
        except MissingError:
            raise _no_such(root, name) from None
        root.download(release_key(name), parse_manifest(data, place).files, folder)
        (folder / MANIFEST).write_bytes(data)
        verify(folder, name)
        try:
            folder.rename(cached)
        except OSError:
            if not cached.is_dir():
                raise
            verify(cached, name)  # another process was faster
    return cached


def _no_such(root: Storage, name: str) -> ReleaseError:
    return ReleaseError(f"{root.url}: there is no release {name}; see `shortlist releases list`")


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)


def _recipe_text(recipe: Recipe) -> str:
    """The recipe without the parts that do not change a release."""
    without = {"publish": Publish(), "batch": None, "resources": Resources(), "tracking": None, "tune": None}
    return dump_recipe(recipe.model_copy(update=without))


def code_fingerprint() -> str:
    """A digest of the library's own source files, so that an uncommitted change is visible."""
    package = Path(__file__).parents[1]
    sources = [path.relative_to(package).as_posix() for path in package.rglob("*.py")]
    return hash_of_hashes(hash_files(package, sources))[:12]
