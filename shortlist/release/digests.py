"""What two runs over the same data, recipe and seed must have in common, wherever they ran.

The publish step takes these digests from its inputs and the report puts them into run.json, so that a run in a cluster
can be compared with one on a laptop without fetching an array.
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
    """The samples and the queries of prepare: which event trains, which is asked, with its history."""
    features: str
    """The features, histories and vocabularies of the release."""
    vectors: str
    """The vectors of the catalogue."""
    index: str
    """The index of these vectors."""
    release: str
    """The release's name, which is the digest of all that is in it."""

    def differing(self, other: "Digests") -> list[str]:
        """The names of those that are not equal, in the order of the path."""
        return [name for name, digest in self if digest != getattr(other, name)]


def digests_of(split: str, manifest: Manifest) -> Digests:
    """The digests of a run from that of prepare's split and the manifest of the release that was made of it."""

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
    """The digests of a run from its run.json or the folder that holds it. Raises ValueError when they are not there."""
    path = run / "run.json" if run.is_dir() else run
    try:
        return Digests.model_validate(json.loads(path.read_text())["digests"])
    except FileNotFoundError:
        raise ValueError(f"{path}: there is no such file; give the folder of a finished run, or its run.json") from None
    except (ValueError, TypeError, KeyError, ValidationError):
        raise ValueError(f"{path}: no digests are in it; only a run whose publish step ended has them") from None
