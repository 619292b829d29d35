"""YAML with the core schema of YAML 1.2, and with errors that name the line.

YAML 1.1, which PyYAML implements, reads `NO` and `on` as booleans, `2024-01-01` as a date, `012` as octal, `12:30` as a
base-60 number, and `1e-3` as text. Here, a plain word is a number, `true`, `false` or `null`, or it is text. Digits
with leading zeros are text, since they would not be written back in the same form.
"""

import math
import re
from collections.abc import Hashable, Sequence
from typing import Any

import yaml

_CORE: tuple[tuple[str, str, str], ...] = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", "~nN"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)|0x[0-9a-fA-F]+|0o[0-7]+", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", "-+."),
    ("merge", r"<<", "<"),
)
_MOST_NODES = 100_000
_REMEDIES = (
    (r"character '\\t'", "indent with spaces, not with tabs"),
    (r"mapping values are not allowed", "write text that contains ': ' in quotes"),
    (r"unknown escape character", "write a backslash twice within double quotes, or use single quotes"),
    (r"cannot start any token", "write text that begins with it in quotes"),
    (r"scanning an (alias|anchor)", "write text that begins with * or & in quotes"),
    (r"(scanning a tag|a constructor for the tag)", "write text that begins with ! in quotes"),
    (r"scanning a quoted scalar", "the quotes before it are not closed"),
    (r"a flow (mapping|sequence)", "inside { } and [ ], write text with one of , : # { } [ ] or quotes in quotes"),
    (
        r"block end.*scalar|a block scalar",
        """text that begins with a quote must end with it; enclose it in other quotes, like '"a b" > 0'""",
    ),
    (r"block end.*(mapping|sequence) start|block end.*<", "indent it like its neighbours"),
    (r"another document", "a recipe is one document; remove the line ---"),
)
_Resolvers = dict[str, list[tuple[str, re.Pattern[str]]]]


class YamlTextError(ValueError):
    """Text that is not YAML; the message names the line and a remedy."""


def _resolvers() -> _Resolvers:
    found: _Resolvers = {"": [("tag:yaml.org,2002:null", re.compile(r"\Z"))]}
    for tag, pattern, first in _CORE:
        for letter in first:
            found.setdefault(letter, []).append((f"tag:yaml.org,2002:{tag}", re.compile(rf"(?:{pattern})\Z")))
    return found


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = _resolvers()

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Keys are text as written, and must be unique."""
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if key.tag.endswith(":merge"):
                continue
            if not isinstance(key, yaml.ScalarNode):
                raise YamlTextError(f"line {_line(key)}: a key is a single word, not a list or a mapping")
            key.tag = "tag:yaml.org,2002:str"
            if key.value in lines:
                raise YamlTextError(
                    f"line {_line(key)}: the key {key.value!r} occurs twice, first in line {lines[key.value]}; "
                    "keep one of them"
                )
            lines[key.value] = _line(key)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Quotes text that either this schema or YAML 1.1 would read as another type."""

    yaml_implicit_resolvers = {
        letter: _Loader.yaml_implicit_resolvers.get(letter, [])
        + yaml.SafeDumper.yaml_implicit_resolvers.get(letter, [])
        for letter in _Loader.yaml_implicit_resolvers.keys() | yaml.SafeDumper.yaml_implicit_resolvers.keys()
    }


def _integer(_: _Loader, node: yaml.ScalarNode) -> int:
    return int(node.value, {"0x": 16, "0o": 8}.get(node.value[:2], 10))


def _number(_: _Loader, node: yaml.ScalarNode) -> float:
    return float(node.value.lower().replace(".inf", "inf").replace(".nan", "nan"))


_Loader.add_constructor("tag:yaml.org,2002:int", _integer)
_Loader.add_constructor("tag:yaml.org,2002:float", _number)


def load_yaml(text: str) -> Any:
    """The value of a YAML document. Raises YamlTextError."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _size(node, [], {}) > _MOST_NODES:
            raise YamlTextError(f"the aliases (*name) expand to more than {_MOST_NODES:,} values")
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        raise YamlTextError(f"this is not YAML: {_explained(error, text)}") from None
    except yaml.YAMLError as error:
        raise YamlTextError(f"this is not YAML: {error}") from None
    finally:
        loader.dispose()


def _size(node: yaml.Node, above: list[yaml.Node], known: dict[int, int]) -> int:
    """The number of values of a node with expanded aliases. Raises YamlTextError for a node that contains itself."""
    if node in above:
        raise YamlTextError(
            f"line {_line(node)}: the anchor (&name) that begins here contains itself; remove its alias"
        )
    if id(node) not in known:
        inside: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            inside = [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            inside = node.value
        known[id(node)] = 1 + sum(_size(part, [*above, node], known) for part in inside)
    return known[id(node)]


def dump_yaml(data: Any) -> str:
    """YAML that this module and YAML 1.1 readers parse to the same value."""
    return str(yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True))


def quoted_yaml(text: str) -> str:
    """Text in double quotes on one line, with YAML escapes for unprintable characters."""
    return str(yaml.dump(text, Dumper=_Dumper, default_style='"', allow_unicode=True, width=math.inf)).rstrip("\n")


def line_of(text: str, path: Sequence[int | str]) -> int | None:
    """The line of the value at a path, or of the closest enclosing value; None if the text is not YAML."""
    steps = _steps(text, path)
    return _line(steps[-1][0]) if steps else None


def written(text: str, path: Sequence[int | str]) -> str | None:
    """The plain word at a path as it is written, like `1_000`; None for anything else."""
    steps = _steps(text, path)
    node = steps[-1][1] if len(steps) == len(path) and steps else None
    return str(node.value) if isinstance(node, yaml.ScalarNode) and node.style is None else None


def _steps(text: str, path: Sequence[int | str]) -> list[tuple[yaml.Node, yaml.Node]]:
    """The nodes (key, value) of each part of a path, as far as the path exists."""
    try:
        node = yaml.compose(text, _Loader)
    except yaml.YAMLError:
        return []
    steps: list[tuple[yaml.Node, yaml.Node]] = []
    for part in path:
        if isinstance(node, yaml.MappingNode):
            pairs = [(key, value) for key, value in node.value if key.value == str(part)]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            pairs = [(node.value[part], node.value[part])]
        else:
            break
        if not pairs:
            break
        steps.append(pairs[-1])
        node = steps[-1][1]
    return steps


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _explained(error: yaml.MarkedYAMLError, text: str) -> str:
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return str(error.problem or error)
    lines = text.splitlines()
    written = lines[mark.line].strip() if mark.line < len(lines) else ""
    problem = f"{error.context} {error.problem}"
    remedy = next((f"; {remedy}" for pattern, remedy in _REMEDIES if re.search(pattern, problem)), "")
    shown = f", at {written[:60]!r}" if written else ", at the end"
    return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}{shown}{remedy}"
