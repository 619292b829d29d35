"""The version of the source data, derived without reading it; it is part of the cache key of ingest."""

import hashlib
import time
from collections.abc import Iterator
from typing import Any

from shortlist.data.sources import database
from shortlist.data.sources.errors import SourceError
from shortlist.data.sources.locate import versions
from shortlist.progress import say
from shortlist.recipe import Recipe, SqlSource


def survey(recipe: Recipe) -> str:
    """A version that changes with any source file, from names, sizes, modification times, ETags and revisions,
    and from the version queries of a database.

    A source that cannot be accessed has a new version each time, so that ingest runs and explains the error.
    """
    digest = hashlib.sha256()
    try:
        for path in _paths(recipe.source.model_dump()):
            lines = versions(path)
            say(f"survey: {path}: {len(lines)} files")
            for line in lines:
                digest.update(f"{line}\n".encode())
        if isinstance(recipe.source, SqlSource):
            for found in database.versions(recipe.source):
                digest.update(f"{found or time.time_ns()}\n".encode())
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
