"""The manifest of a release, and the release's name, which is a hash of the manifest."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from shortlist.hashing import hash_files
from shortlist.storage.base import check_key

RELEASE_SCHEMA = 1
MANIFEST = "manifest.json"
_NAME_LENGTH = 16


class ReleaseError(ValueError):
    """A release cannot be used; the message says which one, why, and what to do."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileEntry(_Frozen):
    sha256: str
    size: int


class Interval(_Frozen):
    """A mean over the test queries and its bootstrap interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.4f} ({self.low:.4f} to {self.high:.4f})"


class Lineage(_Frozen):
    """The inputs that a release was made from."""

    recipe_sha256: str
    """SHA-256 of the recipe without `publish`, `batch`, `resources`, `tracking` and `tune`, which do not change it."""
    code: str
    """The version of shortlist and a fingerprint of its source files."""
    data: str
    """Digest of the prepared data: features, samples and queries."""


class Manifest(_Frozen):
    """Every file of a release with its hash, and the lineage of the release.

    The manifest contains no time, host or address: equal inputs give equal manifests, and so equal names.
    """

    schema_version: int = RELEASE_SCHEMA
    recipe: str
    """The recipe's name."""
    files: dict[str, FileEntry]
    metrics: dict[str, Interval]
    """The metrics of the served system on the test queries."""
    lineage: Lineage

    @field_validator("files")
    @classmethod
    def _stay_inside(cls, files: dict[str, FileEntry]) -> dict[str, FileEntry]:
        for name in files:
            check_key(name)
        return files

    @property
    def name(self) -> str:
        """The release's name: the first 16 hexadecimal digits of the SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.canonical()).hexdigest()[:_NAME_LENGTH]

    @property
    def num_bytes(self) -> int:
        return sum(entry.size for entry in self.files.values())

    def canonical(self) -> bytes:
        """JSON with sorted keys, no spaces and ASCII only; also the content of manifest.json."""
        data = self.model_dump(mode="json")
        return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def check_release(name: str) -> str:
    """Returns the name of a release, as given by a pointer or a user, if it is a valid folder name.

    Raises ValueError otherwise.
    """
    if "/" in check_key(name):
        raise ValueError(f"{name!r} is not the name of a release: a name has no slash")
    return name


def is_name(text: str) -> bool:
    """Whether a text has the form of a release's name."""
    return len(text) == _NAME_LENGTH and set(text) <= set("0123456789abcdef")


def parse_manifest(data: bytes, place: str) -> Manifest:
    """Parse a manifest that was read from `place`. Raises ReleaseError for broken JSON and for another schema."""
    try:
        found = json.loads(data)
        version = found["schema_version"]
    except (ValueError, TypeError, KeyError) as error:
        raise ReleaseError(f"{place}: not a release manifest ({error}); publish the release again") from None
    if version != RELEASE_SCHEMA:
        raise ReleaseError(
            f"{place}: the release has schema {version}; this version of shortlist reads schema {RELEASE_SCHEMA}; "
            "run the recipe again, or use the version of shortlist that wrote it"
        )
    try:
        return Manifest.model_validate(found)
    except ValidationError as error:
        raise ReleaseError(f"{place}: not a release manifest: {error}; publish the release again") from None


def entries(folder: Path, names: Iterable[str]) -> dict[str, FileEntry]:
    """The SHA-256 and size of files in a folder. Raises OSError."""
    return {
        name: FileEntry(sha256=found, size=(folder / name).stat().st_size)
        for name, found in hash_files(folder, names).items()
    }


def file_names(folder: Path) -> list[str]:
    """The relative paths of all files below a folder, sorted, without hidden files."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in paths if not any(part.startswith(".") for part in path.parts))
