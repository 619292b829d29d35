"""Error messages for pydantic's validation errors: line, YAML path, value, allowed values and the nearest word."""

import difflib
import re
from collections.abc import Iterator
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from shortlist.recipe.yaml_text import line_of, written

Path = list[int | str]

_KINDS = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list, like [a, b]",
    "dict_type": "a mapping, like {name: value}",
    "model_type": "a mapping, like {name: value}",
    "model_attributes_type": "a mapping, like {name: value}",
}
"""The expected type, by pydantic's error type."""


def explain(errors: list[ErrorDetails], data: dict[str, Any], text: str, root: type[BaseModel]) -> Iterator[str]:
    """One line per place with an error; `data` was parsed from the YAML `text`, `root` is the type of the recipe."""
    by_place: dict[tuple[int | str, ...], list[ErrorDetails]] = {}
    for detail in errors:
        by_place.setdefault(tuple(_yaml_path(detail["loc"], data)), []).append(detail)
    for place, found in by_place.items():
        path = list(place)
        message = _message_at(path, found, data, text, root)
        line = line_of(text, path or _path_in(message))
        yield (f"line {line}: " if line else "") + message


def _message_at(path: Path, found: list[ErrorDetails], data: dict[str, Any], text: str, root: type[BaseModel]) -> str:
    where = ".".join(map(str, path))
    kinds = list(dict.fromkeys(_KINDS[detail["type"]] for detail in found if detail["type"] in _KINDS))
    if kinds:
        given, word, expected = found[0]["input"], written(text, path), " or ".join(kinds)
        if "text" in kinds and word:
            return f"{where}: YAML reads {word} as {_yaml_type(given)}, not as {expected}; write '{word}' in quotes"
        remedy = f"; write [{word}]" if word and expected.startswith("a list") else ""
        return f"{where}: {_shown(given)} is not {expected}{remedy}"
    return "; ".join(dict.fromkeys(_error_message(path, detail, data, root) for detail in found))


def _error_message(path: Path, detail: ErrorDetails, data: dict[str, Any], root: type[BaseModel]) -> str:
    where = ".".join(map(str, path))
    given, kind = detail["input"], detail["type"]
    if kind == "extra_forbidden":
        allowed = _allowed_keys(path[:-1], data, root)
        return f"{where}: unknown key; {_nearest(str(path[-1]), allowed)}allowed: {', '.join(allowed)}"
    if kind == "missing":
        return f"{where}: is missing"
    if kind == "union_tag_not_found":
        return f"{where}.kind: is missing; allowed: {', '.join(_kinds(path, root))}"
    if kind in ("union_tag_invalid", "literal_error"):
        context = detail.get("ctx", {})
        words = str(context.get("expected_tags") or context["expected"]).replace("'", "").replace(" or ", ", ")
        word, at = (given.get("kind"), f"{where}.kind") if isinstance(given, dict) else (given, where)
        near = _nearest(str(word), words.split(", "))
        return f"{at}: {_shown(word)} is not allowed; {near}allowed: {words}"
    message = detail["msg"].removeprefix("Value error, ")
    # A URL may contain a password.
    has_value = isinstance(given, dict | list) or path == ["source", "url"] or message.startswith(repr(given))
    return (f"{where}: " if where else "") + (message if has_value else f"{_shown(given)}: {message}")


def _shown(value: Any) -> str:
    """A value as YAML reads it."""
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    return "a list" if isinstance(value, list) else "a mapping" if isinstance(value, dict) else repr(value)


def _yaml_type(value: Any) -> str:
    return "a number" if isinstance(value, int | float) and not isinstance(value, bool) else _shown(value)


def _path_in(message: str) -> Path:
    """The path at the start of a message about several places."""
    found = re.match(r"[a-z_]+(?:\.[a-z_]+)*", message)
    return list(found[0].split(".")) if found else []


def _yaml_path(loc: tuple[int | str, ...], data: Any) -> Path:
    """Pydantic's location without its tags of kinds and types, which are not in the YAML."""
    path: Path = []
    for i, part in enumerate(loc):
        last = i + 1 == len(loc)
        if isinstance(data, dict):
            tag = part not in data and ((data.get("kind") == part and not last) or "[" in str(part))
        else:
            tag = not (isinstance(data, list) and isinstance(part, int))
        if tag:
            continue
        path.append(part)
        inside = part in data if isinstance(data, dict) else isinstance(part, int) and part < len(data)
        data = data[part] if inside else None
    return path


def _nearest(word: str, words: list[str]) -> str:
    near = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}? " if near else ""


def _allowed_keys(path: Path, data: Any, root: type[BaseModel]) -> list[str]:
    """The keys of the block at `path`; if it has a `kind`, those of this kind."""
    sections = _sections_at(path, root)
    for part in path:
        data = data[part]
    kind = data.get("kind") if isinstance(data, dict) else None
    named = [section for section in sections if kind in _kind_of(section)]
    return list(dict.fromkeys(name for section in named or sections for name in section.model_fields))


def _kinds(path: Path, root: type[BaseModel]) -> list[str]:
    return [kind for section in _sections_at(path, root) for kind in _kind_of(section)]


def _kind_of(section: type[BaseModel]) -> tuple[str, ...]:
    return get_args(section.model_fields["kind"].annotation) if "kind" in section.model_fields else ()


def _sections_at(path: Path, root: type[BaseModel]) -> list[type[BaseModel]]:
    sections: list[type[BaseModel]] = [root]
    a_key = False  # of a mapping with arbitrary keys, like contract.columns
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
