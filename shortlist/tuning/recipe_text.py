"""The text of a recipe with other values: everything else stays as it is written, comments included."""

import difflib
from collections.abc import Mapping
from typing import Any

import yaml

from shortlist.recipe import dump_recipe, parse_recipe
from shortlist.recipe.yaml_text import dump_yaml
from shortlist.tuning.space import with_values


def tuned_text(text: str, values: Mapping[str, Any], origin: str) -> str:
    """The recipe's text with these values in place; where that is not possible, its canonical text."""
    wanted = with_values(parse_recipe(text, origin), values, origin)
    edited = text
    for path, value in values.items():
        edited = _edited(edited, path.split("."), value)
    try:
        if parse_recipe(edited, origin) == wanted:
            return edited
    except ValueError:
        pass  # the text has a form that is not edited in place, like an anchor
    return dump_recipe(wanted)


def diff(before: str, after: str, names: tuple[str, str]) -> str:
    """The differing lines of two texts, as a unified diff."""
    return "".join(difflib.unified_diff(before.splitlines(True), after.splitlines(True), *names, n=1))


def _edited(text: str, parts: list[str], value: Any) -> str:
    node: Any = yaml.compose(text, yaml.SafeLoader)
    found = 0
    for part in parts:
        inner = _child(node, part)
        if inner is None:
            break
        node, found = inner, found + 1
    if found == len(parts):
        end = node.end_mark.index
        if not isinstance(node, yaml.ScalarNode) and not node.flow_style:
            return text
        return text[: node.start_mark.index] + _flow(value) + text[end:]
    return _with_new_field(text, node, parts[found:], value)


def _with_new_field(text: str, node: Any, parts: list[str], value: Any) -> str:
    """The field as the first one of the innermost block that exists, or at the end of the text."""
    if not isinstance(node, yaml.MappingNode):
        return text
    written = f"{parts[-1]}: {_flow(value)}"
    for part in reversed(parts[:-1]):
        written = f"{part}: {{{written}}}"
    if node.flow_style:
        at = node.start_mark.index + 1
        return f"{text[:at]}{written}{', ' if node.value else ''}{text[at:]}"
    at = node.start_mark.index
    if node.start_mark.column == 0:
        return f"{text.rstrip()}\n{written}\n"
    return f"{text[:at]}{written}\n{' ' * node.start_mark.column}{text[at:]}"


def _child(node: Any, part: str) -> Any:
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == part), None)
    if isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
        return node.value[int(part)]
    return None


def _flow(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, list):
        return f"[{', '.join(_flow(one) for one in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_flow(one)}' for key, one in value.items())}}}"
    return dump_yaml(value).removesuffix("...\n").strip()
