"""Reading a recipe, and errors that name file, YAML path, value, what is allowed and the nearest word."""

import difflib
import os
import re
from pathlib import Path
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from shortlist.recipe.recipe import Recipe
from shortlist.recipe.yaml_text import YamlTextError, dump_yaml, line_of, load_yaml

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


class RecipeError(ValueError):
    """A recipe that cannot be used; the message says where and how to mend it."""


def load_recipe(path: str | Path) -> Recipe:
    """Read and validate a recipe file. Raises RecipeError."""
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = difflib.get_close_matches(file.name, [p.name for p in file.parent.glob("*.yaml")], n=3, cutoff=0.3)
        hint = f"; beside it are: {', '.join(near)}" if near else ""
        raise RecipeError(f"{file}: there is no such recipe{hint}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{file}: cannot be read as UTF-8 text: {error}") from None
    return parse_recipe(text, str(file))


def parse_recipe(text: str, origin: str = "recipe") -> Recipe:
    """Validate a recipe's YAML text. Raises RecipeError; `origin` names it in the message."""
    try:
        data = load_yaml(text)
    except YamlTextError as error:
        raise RecipeError(f"{origin}: this is no YAML: {error}") from None
    if not isinstance(data, dict):
        raise RecipeError(f"{origin}: a recipe is a mapping of names to values, this is a {type(data).__name__}")
    try:
        return Recipe.model_validate(_expand(data, origin, ()))
    except ValidationError as error:
        count = error.error_count()
        lines = "\n".join(f"  {_explain(detail, data, text)}" for detail in error.errors())
        raise RecipeError(f"{origin}: {count} error{'s' * (count != 1)}\n{lines}") from None


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as canonical YAML: environment expanded, defaults left out, keys in the order of the schema."""
    data = recipe.model_dump(mode="json", exclude_defaults=True)
    for block in ("source", "split"):
        data[block] = {"kind": getattr(recipe, block).kind, **data[block]}
    return dump_yaml(data)


def recipe_schema() -> dict[str, Any]:
    """The JSON schema for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Recipe.model_json_schema()}


def _expand(value: Any, origin: str, path: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {key: _expand(item, origin, (*path, str(key))) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, origin, (*path, str(i))) for i, item in enumerate(value)]
    if not isinstance(value, str):
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


def _explain(detail: ErrorDetails, data: dict[str, Any], text: str) -> str:
    path = _yaml_path(detail["loc"], data)
    line = line_of(text, path)
    return (f"line {line}: " if line else "") + _explain_at(detail, path, data)


def _explain_at(detail: ErrorDetails, path: list[int | str], data: dict[str, Any]) -> str:
    where = ".".join(map(str, path)) or "the recipe"
    if detail["type"] == "extra_forbidden":
        allowed = _allowed_keys(path[:-1], data)
        return f"{where}: unknown key; {_nearest(str(path[-1]), allowed)}allowed: {', '.join(allowed)}"
    if detail["type"] == "missing":
        return f"{where}: is missing"
    given = detail["input"]
    if detail["type"].startswith("union_tag"):
        expected = str(detail.get("ctx", {}).get("expected_tags", "")).replace("'", "")
        if detail["type"] == "union_tag_not_found":
            kinds = ", ".join(_kinds(path))
            return f"{where}.kind: is missing; allowed: {kinds}"
        tag = given.get("kind") if isinstance(given, dict) else given
        return f"{where}.kind: {tag!r} is not allowed; {_nearest(str(tag), expected.split(', '))}allowed: {expected}"
    if detail["type"] == "literal_error":
        expected = str(detail["ctx"]["expected"]).replace("'", "").replace(" or ", ", ")
        return f"{where}: {given!r} is not allowed; {_nearest(str(given), expected.split(', '))}allowed: {expected}"
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "string_type" and isinstance(given, bool | int | float):
        kind = "true or false" if isinstance(given, bool) else "a number"
        message = f"this must be text, and YAML takes it for {kind}; put it in quotes, as you mean it"
    says_it = isinstance(given, dict | list) or message.startswith(repr(given))
    return f"{where}: {message}" if says_it else f"{where}: {given!r}: {message}"


def _yaml_path(loc: tuple[int | str, ...], data: Any) -> list[int | str]:
    """Pydantic's location without the union tags that are not in the YAML."""
    path: list[int | str] = []
    for i, part in enumerate(loc):
        tag = isinstance(data, dict) and part not in data and data.get("kind") == part and i + 1 < len(loc)
        if tag:
            continue
        path.append(part)
        inside = (isinstance(data, dict) and part in data) or (isinstance(data, list) and isinstance(part, int))
        data = data[part] if inside else None
    return path


def _nearest(word: str, words: list[str]) -> str:
    near = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}? " if near else ""


def _allowed_keys(path: list[int | str], data: Any) -> list[str]:
    """The keys of the block at `path`; where its `kind` decides, those of the kind that the recipe names."""
    sections = _sections_at(path)
    for part in path:
        data = data[part]
    kind = data.get("kind") if isinstance(data, dict) else None
    named = [section for section in sections if kind in _kind_of(section)]
    return list(dict.fromkeys(name for section in named or sections for name in section.model_fields))


def _kinds(path: list[int | str]) -> list[str]:
    return [kind for section in _sections_at(path) for kind in _kind_of(section)]


def _kind_of(section: type[BaseModel]) -> tuple[str, ...]:
    return get_args(section.model_fields["kind"].annotation) if "kind" in section.model_fields else ()


def _sections_at(path: list[int | str]) -> list[type[BaseModel]]:
    sections: list[type[BaseModel]] = [Recipe]
    a_key = False  # of a mapping that the user fills, like contract.columns
    for part in path:
        if isinstance(part, int) or a_key:
            a_key = False
            continue
        annotations = [section.model_fields[part].annotation for section in sections if part in section.model_fields]
        a_key = any(get_origin(annotation) is dict for annotation in annotations)
        sections = [inner for annotation in annotations for inner in _sections_of(annotation)]
    return sections


def _sections_of(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and get_origin(annotation) is None:
        return [annotation]
    if get_origin(annotation) in (Union, list, type(int | str)) or get_args(annotation):
        return [inner for arg in get_args(annotation) for inner in _sections_of(arg)]
    return []
