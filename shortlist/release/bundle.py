"""A release: the one folder that is served, made, opened and verified here.

    <root>/live.json                     which release is live: the pointer that publishing swaps
    <root>/releases/<name>/manifest.json the files below with their hashes; written last
                          /recipe.yaml   the recipe, environment expanded
                          /evaluation.json
                          /features/, retrieval/, index/, ranking/ (when it ranks)

`<root>` is `<publish.to>/<recipe name>`, in a folder or a bucket.
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

from shortlist.hashing import hash_files
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
    """live.json: which release answers, which did before, and who overruled the gate for it."""

    model_config = ConfigDict(frozen=True)

    release: Annotated[str, AfterValidator(check_release)]
    previous: Annotated[str, AfterValidator(check_release)] | None = None
    forced_by: str | None = None
    at: str
    """When it became live, ISO 8601 in UTC."""


def release_key(name: str, file: str = "") -> str:
    """The key of a release's folder, or of a file in it."""
    return f"releases/{name}/{file}" if file else f"releases/{name}"


def lineage_of(recipe: Recipe, data: str) -> Lineage:
    """What a release is made from: the recipe, this code and the prepared data, by its digest."""
    code = f"{importlib.metadata.version('shortlist')}+{_code_fingerprint()}"
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

    `serves` is the system of the evaluation whose metrics are the release's: retrieval where its ranker is left out.

    What would make two runs over the same input differ stays out: where the recipe publishes to, what its steps may
    use, and the comparison with whatever release was live at the time; so do the sample users, who are for the report
    alone. Raises ReleaseError for a part that is empty
    or missing, StorageError for a full disk.
    """
    try:
        for part, folder in parts.items():
            names = file_names(folder) if folder.is_dir() else []
            if not names:
                raise ReleaseError(f"{folder}: no files for the release's {part}/; run the step that writes it again")
            for name in names:
                _link(folder / name, into / part / name)
        judged = json.loads(evaluation.read_text())
        judged.pop("live", None)
        judged.pop("sample_users", None)
        (into / "evaluation.json").write_text(json.dumps(judged, indent=1, sort_keys=True) + "\n")
        (into / "recipe.yaml").write_text(_recipe_text(recipe))
        manifest = Manifest(
            recipe=recipe.name,
            files=entries(into, file_names(into)),
            metrics=judged["systems"][serves],
            lineage=lineage,
        )
        (into / MANIFEST).write_bytes(manifest.canonical())
    except OSError as error:
        raise from_os_error(error, into) from error
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a release's folder. Raises ReleaseError when there is none, or one of another schema."""
    path = folder / MANIFEST
    try:
        return parse_manifest(path.read_bytes(), str(path))
    except FileNotFoundError:
        raise ReleaseError(f"{folder}: this is no release, it has no {MANIFEST}") from None


def verify(folder: Path, name: str | None = None) -> Manifest:
    """Compare every file of a release's folder with its manifest, and the manifest with the release's name.

    Raises ReleaseError that names the first wrong file, what was expected and what was found.
    """
    mend = "copy the release here again, publish it again (`shortlist run`), or roll back to another one"
    manifest = read_manifest(folder)
    if name is not None and manifest.name != name:
        raise ReleaseError(f"{folder / MANIFEST}: expected the release {name}, found {manifest.name}; {mend}")
    missing = [file for file in manifest.files if not (folder / file).is_file()]
    if missing:
        raise ReleaseError(f"{folder / missing[0]}: this file of release {manifest.name} is missing; {mend}")
    try:
        found_files = entries(folder, manifest.files)
    except OSError as error:
        raise from_os_error(error, error.filename or folder) from error
    for file, found in found_files.items():
        expected = manifest.files[file]
        if found != expected:
            raise ReleaseError(
                f"{folder / file}: corrupted: expected SHA-256 {expected.sha256} of {expected.size} bytes, "
                f"found {found.sha256} of {found.size} bytes; {mend}"
            )
    return manifest


def read_pointer(root: Storage) -> Stored | None:
    """The bytes of live.json, or None where nothing was ever live. Raises StorageError."""
    try:
        return root.read(LIVE)
    except MissingError:
        return None


def parse_live(stored: Stored | None, root: Storage) -> Live | None:
    """What live.json says. Raises ReleaseError when it is broken."""
    if stored is None:
        return None
    try:
        return Live.model_validate_json(stored.data)
    except ValidationError as error:
        raise ReleaseError(
            f"{root.url}/{LIVE}: cannot be read ({error.errors()[0]['msg']}); "
            "write it anew with `shortlist releases promote`"
        ) from None


def read_live(root: Storage) -> Live | None:
    """What is live, or None. Raises StorageError, and ReleaseError for a broken pointer."""
    return parse_live(read_pointer(root), root)


def open_release(url: str, name: str | None = None, cache_dir: Path | None = None) -> Path:
    """The verified folder of a release below the root `url`; without a name, of the live one.

    A release in a local folder is used where it lies; another is downloaded once to `cache_dir`/<name>, where it
    appears whole or not at all. Raises ReleaseError (a ValueError) and StorageError (an OSError).
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
        raise ValueError(f"{url}: this release lies elsewhere; give a cache_dir to download it to")
    cached = below(cache_dir, name)
    if cached.is_dir():
        with contextlib.suppress(ReleaseError):  # a damaged copy is fetched anew
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
    """What of a recipe decides on a release."""
    return dump_recipe(recipe.model_copy(update={"publish": Publish(), "resources": Resources()}))


def _code_fingerprint() -> str:
    """Of the library's own source files, so that an uncommitted change shows."""
    package = Path(__file__).parents[1]
    sources = [path.relative_to(package).as_posix() for path in sorted(package.rglob("*.py"))]
    digest = hashlib.sha256()
    for name, found in hash_files(package, sources).items():
        digest.update(f"{name} {found}\n".encode())
    return digest.hexdigest()[:12]
