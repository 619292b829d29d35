"""Reads and writes recipes."""

import difflib
import os
import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from shortlist.recipe.explain import explain
from shortlist.recipe.old_spelling import upgraded
from shortlist.recipe.recipe import Recipe
from shortlist.recipe.yaml_text import YamlTextError, dump_yaml, load_yaml

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


class RecipeError(ValueError):
    """A recipe cannot be used; the message says where the error is and how to fix it."""


def load_recipe(path: str | Path) -> Recipe:
    """Read and validate a recipe file. Raises RecipeError."""
    file = Path(path)
    return parse_recipe(_text(file), str(file))


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = difflib.get_close_matches(file.name, [p.name for p in file.parent.glob("*.yaml")], n=3, cutoff=0.3)
        hint = f"; similar names in this folder: {', '.join(near)}" if near else ""
        raise RecipeError(f"{file}: there is no such recipe{hint}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{file}: cannot be read as UTF-8 text: {error}") from None


def load_released_recipe(path: Path) -> Recipe:
    """The recipe of a release, which may have been written by an older version. Raises RecipeError.

    The recipe of a release cannot be edited, so that old syntax is upgraded instead of refused.
    """
    text, origin = _text(path), str(path)
    data = _mapping(text, origin)
    if isinstance(data.get("retrieval"), dict):
        data["retrieval"] = upgraded(data["retrieval"])
    return _validated(data, text, origin)


def parse_recipe(text: str, origin: str = "recipe") -> Recipe:
    """Validate the YAML text of a recipe. Raises RecipeError; `origin` names the recipe in the message."""
    return _validated(_mapping(text, origin), text, origin)


def _mapping(text: str, origin: str) -> dict[str, Any]:
    try:
        data = load_yaml(text)
    except YamlTextError as error:
        raise RecipeError(f"{origin}: {error}") from None
    if not isinstance(data, dict):
        raise RecipeError(f"{origin}: a recipe must be a mapping of names to values, not a {type(data).__name__}")
    return data


def _validated(data: dict[str, Any], text: str, origin: str) -> Recipe:
    """The validated recipe; `data` was parsed from the YAML `text`."""
    try:
        return Recipe.model_validate(_expand(data, origin, ()))
    except ValidationError as error:
        found = list(explain(error.errors(), data, text, Recipe))
        lines = "".join(f"\n  {one}" for one in found)
        raise RecipeError(f"{origin}: {len(found)} error{'s' * (len(found) != 1)}{lines}") from None


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as canonical YAML: environment variables expanded, defaults omitted, keys in schema order.

    Variables of a database's URL stay as they are.
    """
    data = recipe.model_dump(mode="json", exclude_defaults=True)
    for block in ("source", "split"):
        data[block] = {"kind": getattr(recipe, block).kind, **data[block]}
    return dump_yaml(data)


def recipe_schema() -> dict[str, Any]:
    """The JSON schema of recipes, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Recipe.model_json_schema()}


def _expand(value: Any, origin: str, path: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {key: _expand(item, origin, (*path, str(key))) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, origin, (*path, str(i))) for i, item in enumerate(value)]
    # The URL of a database is expanded where a connection is made: with its password it must never be written.
    if not isinstance(value, str) or path == ("source", "url"):
        return value

    def substitute(match: re.Match[str]) -> str:
        name, default = match.groups()
        found = os.environ.get(name, default)
        if found is None:
            raise RecipeError(
                f"{origin}: {'.'.join(path)}: the environment variable {name} is not set; "
                f"set it, or write ${{{name}:-default}}"
            )
        return found

    return _VARIABLE.sub(substitute, value)
