"""Which data the sources hold now, without reading it: what the pipeline's cache asks before it skips ingest."""

import hashlib
import time
from collections.abc import Iterator
from typing import Any

from shortlist.data.sources.errors import SourceError
from shortlist.data.sources.locate import versions
from shortlist.progress import say
from shortlist.recipe import Recipe


def survey(recipe: Recipe) -> str:
    """One word that is another one when a source file is: from names, sizes, times of writing, ETags, revisions.

    What cannot be looked at has a version of its own each time: nothing is taken from a cache, and ingest, which has to
    read it, explains what is wrong.
    """
    digest = hashlib.sha256()
    try:
        for path in _paths(recipe.source.model_dump()):
            found = versions(path)
            say(f"survey: {path}: {len(found)} files")
            for line in found:
                digest.update(f"{line}\n".encode())
    except SourceError as error:
        say(f"warning: {error}")
        digest.update(str(time.time_ns()).encode())
    return digest.hexdigest()[:16]


def _paths(block: Any) -> Iterator[str]:
    """Every `path` of the source, in the order of the recipe."""
    if isinstance(block, dict):
        for key, value in block.items():
            yield from [value] if key == "path" and isinstance(value, str) else _paths(value)
    elif isinstance(block, list):
        for item in block:
            yield from _paths(item)
