"""Digests that must be equal for two runs over the same data, recipe and seed, on any machine.

The publish step takes these digests from its inputs and the report writes them to run.json. A run on a cluster can
then be compared with one on a laptop without downloading arrays.
"""

import hashlib
import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from shortlist.release.manifest import Manifest

_LENGTH = 16


class Digests(BaseModel):
    """The first 16 hexadecimal digits of SHA-256 over names and contents of files."""

    model_config = ConfigDict(frozen=True)

    split: str
    """The samples and the evaluation queries of prepare, with their histories."""
    features: str
    """The features, histories and vocabularies of the release."""
    vectors: str
    """The vectors of the catalogue."""
    index: str
    """The index of these vectors."""
    release: str
    """The release's name, which is the digest of its content."""

    def differing(self, other: "Digests") -> list[str]:
        """The names of the digests that are not equal, in the order of the pipeline."""
        return [name for name, digest in self if digest != getattr(other, name)]


def digests_of(split: str, manifest: Manifest) -> Digests:
    """The digests of a run, from the split digest of prepare and the manifest of its release."""

    def of(prefix: str) -> str:
        files = {name: entry.sha256 for name, entry in manifest.files.items() if name.startswith(prefix)}
        assert files, prefix
        return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:_LENGTH]

    return Digests(
        split=split[:_LENGTH],
        features=of("features/"),
        vectors=of("retrieval/vectors.npy"),
        index=of("index/"),
        release=manifest.name,
    )


def read_digests(run: Path) -> Digests:
    """The digests of a run, from its run.json or its folder. Raises ValueError when they are missing."""
    path = run / "run.json" if run.is_dir() else run
    try:
        return Digests.model_validate(json.loads(path.read_text())["digests"])
    except FileNotFoundError:
        raise ValueError(f"{path}: there is no such file; give the folder of a finished run, or its run.json") from None
    except (ValueError, TypeError, KeyError, ValidationError):
        raise ValueError(f"{path}: has no digests; only a run whose publish step finished has them") from None
