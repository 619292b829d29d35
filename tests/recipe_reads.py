"""Records which fields of a recipe are read."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from shortlist.recipe import Recipe
from shortlist.recipe.fields import Section

_WHOLE = {"model_dump", "model_dump_json", "model_copy", "__iter__", "__hash__", "__eq__", "__repr__", "__str__"}
"""Methods that read all fields, without an access to each."""


@contextmanager
def reads_of(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """Paths of the fields of this recipe object that are read, like `retrieval.dim`; filled while the context is open.

    When a block of one of several kinds is accessed, its kind counts as read; a block that may be missing, as a whole.
    """
    paths = {id(section): path for path, section in _sections("", recipe)}
    found: set[str] = set()
    get = Section.__getattribute__

    def recorded(section: Section, name: str) -> Any:
        value = get(section, name)
        path = paths.get(id(section))
        if path is not None:
            field = type(section).model_fields.get(name)
            if field is not None:
                found.update(_read(f"{path}{name}", field.annotation, value))
            elif name in _WHOLE:
                found.add(path.rstrip("."))
        return value

    with monkeypatch.context() as patch:
        patch.setattr(Section, "__getattribute__", recorded)
        yield found


def _read(path: str, annotation: Any, value: Any) -> list[str]:
    if annotation is type(value) and isinstance(value, Section):
        return []  # only its fields have values
    if isinstance(value, Section) and "kind" in type(value).model_fields:
        return [f"{path}.kind"]
    return [path]


def _sections(path: str, value: Any) -> Iterator[tuple[str, Section]]:
    """Each block with its path; blocks in a list or a mapping have the path of that field."""
    if isinstance(value, Section):
        yield path, value
        for name in type(value).model_fields:
            yield from _sections(f"{path}{name}.", getattr(value, name))
    elif isinstance(value, dict | list | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _sections(path, inner)
