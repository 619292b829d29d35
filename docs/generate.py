"""The pages of docs that are generated: `python docs/generate.py`, which `make compile` runs.

Recipe: from its JSON schema; examples are the values that the kept recipes use, and the schema's own where none does.
Command line: from the program. HTTP API: from the types by which a service checks its requests. A test fails when a
committed page is stale.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
import yaml
from pydantic import TypeAdapter

from shortlist.answer.request_schema import Columns, request_types
from shortlist.answer.response_schema import Answer, Refusal
from shortlist.cli.main import app
from shortlist.features import TableSchema
from shortlist.recipe import Serving, recipe_schema
from shortlist.serving.transformer.openapi import REFUSALS

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs"
MARK = "<!-- Written by `make compile`; edit the code that it is generated from instead. -->\n"
Schema = dict[str, Any]
_WIDTH = 90
_EXAMPLES = {
    "train": "90d",
    "timeout": "2h",
    "nulls": ["NULL"],
    "where": "quantity > 0",
    "key": "nvidia.com/gpu",
    "value": "present",
    "claim": "training",
    "path": "/data",
    "folder": "/shared/training",
    "gpu_resource": "nvidia.com/gpu",
    "name": "artist_id",
}
"""Of fields of free text that no recipe sets."""


def render() -> dict[str, str]:
    """Name of a page -> its text."""
    pages = {
        "reference/recipe.md": recipe_page(),
        "reference/cli.md": cli_page(),
        "reference/http.md": http_page(),
        "explanation/decisions.md": decisions_page(),
    }
    return {name: MARK + text for name, text in pages.items()}


def decisions_page() -> str:
    """The index of the decision records, by their titles."""
    pages = sorted((FOLDER / "decisions").glob("*.md"))
    titles = {page.name: page.read_text().partition("\n")[0].removeprefix("# ") for page in pages}
    lines = [f"| [{title}](../decisions/{name}) | `{name}` |" for name, title in titles.items()]
    return "# Decisions\n\nThe design decisions, half a page each.\n\n| decision | file |\n|---|---|\n" + (
        "\n".join(lines) + "\n"
    )


def recipe_page() -> str:
    schema = recipe_schema()
    used: dict[tuple[str, str], Any] = {}
    for path in sorted((ROOT / "recipes").glob("*.yaml"), key=lambda path: (path.stem != "demo", path.stem)):
        _collect(yaml.safe_load(path.read_text()), schema, "", schema["$defs"], used)
    parts = [
        "# Recipe\n\nEvery block and field of a recipe, generated from `recipes/schema.json`. A field without a "
        "default has to be given. Examples are taken from the recipes in `recipes/` where one of them sets the field. "
        "[Expressions](../expressions.md) describes the SQL that `where`, `positive` and other expressions take.\n"
    ]
    for name in _blocks(schema):
        block = schema["$defs"][name] if name else schema
        parts.append(f"## {name or 'The recipe'}\n\n{block.get('description', '')}\n" if name else "## The recipe\n")
        if "properties" not in block:
            continue
        parts.append("| field | type | default | example | what it is |\n|---|---|---|---|---|")
        for field, one in block["properties"].items():
            default = "" if field in block.get("required", []) else _default(one.get("default"))
            example = used.get((name, field), _example(one, schema["$defs"]))
            example = _short(_EXAMPLES.get(field, example) if "text" in (example, *_items(example)) else example)
            description = one.get("description") or _referred(one, schema["$defs"]).get("description", "")
            parts.append(f"| `{field}` | {_type(one)} | {default} | {_code({field: example})} | {_cell(description)} |")
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"


def _blocks(schema: Schema) -> list[str]:
    """The recipe, then every block in the order in which it is first named."""
    order, waiting = [""], [schema]
    while waiting:
        for name in _references(waiting.pop(0)):
            if name not in order:
                order.append(name)
                waiting.append(schema["$defs"][name])
    return order


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield _name(node["$ref"])
        for key, value in node.items():
            if key not in {"$defs", "discriminator"}:
                yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _name(reference: str) -> str:
    return reference.rsplit("/", 1)[1]


def _choices(one: Schema) -> list[Schema]:
    found: list[Schema] = one.get("anyOf") or one.get("oneOf") or [one]
    return found


def _referred(one: Schema, defs: Schema) -> Schema:
    found: Schema = defs[_name(one["$ref"])] if "$ref" in one else {}
    return found


def _collect(value: Any, schema: Schema, block: str, defs: Schema, used: dict[tuple[str, str], Any]) -> None:
    """The first value that a recipe gives each field, by block and field."""
    for choice in _choices(schema):
        name, target = (_name(choice["$ref"]), _referred(choice, defs)) if "$ref" in choice else (block, choice)
        if _choices(target) != [target]:
            _collect(value, target, name, defs, used)
        elif isinstance(value, dict) and "properties" in target and _fits(value, target):
            for field, inner in value.items():
                used.setdefault((name, field), inner)
                _collect(inner, target["properties"][field], name, defs, used)
        elif isinstance(value, dict) and isinstance(target.get("additionalProperties"), dict):
            for inner in value.values():
                _collect(inner, target["additionalProperties"], name, defs, used)
        elif isinstance(value, list) and "items" in target:
            for inner in value:
                _collect(inner, target["items"], name, defs, used)


def _fits(value: Schema, block: Schema) -> bool:
    """Whether an object is of this block: no other keys, and its constants, like `kind`."""
    fields = block["properties"]
    constants = {key: one["const"] for key, one in fields.items() if "const" in one}
    return value.keys() <= fields.keys() and all(value.get(key, const) == const for key, const in constants.items())


def _example(one: Schema, defs: Schema) -> Any:  # noqa: PLR0911 - one for each kind of schema
    """A sound value of a schema that no recipe has one of."""
    one = next((choice for choice in _choices(one) if choice.get("type") != "null"), one) | {
        key: one[key] for key in ("examples", "default") if one.get(key) not in (None, [], {})
    }
    for key in ("examples", "enum"):
        if key in one:
            return one[key][0]
    for key in ("const", "default"):
        if key in one:
            return one[key]
    if "$ref" in one:
        return _example(_referred(one, defs), defs)
    if "oneOf" in one or "anyOf" in one:
        return _example(_choices(one)[0], defs)
    match one.get("type"):
        case "object":
            fields = {key: _example(one["properties"][key], defs) for key in one.get("required", [])}
            more = one.get("additionalProperties")
            return fields or ({"name": _example(more, defs)} if isinstance(more, dict) else {})
        case "array":
            return [_example(one["items"], defs)] if "items" in one else []
        case "integer" | "number":
            return one.get("minimum", max(1, one.get("exclusiveMinimum", 1)))
        case "boolean":
            return True
    return "text"


def _type(one: Schema) -> str:
    shown = [_type_of(choice) for choice in _choices(one)]
    return " or ".join(dict.fromkeys(shown))


def _type_of(one: Schema) -> str:  # noqa: PLR0911 - one for each kind of schema
    if "$ref" in one:
        name = _name(one["$ref"])
        return f"[{name}](#{name.lower()})"
    if "const" in one:
        return _code(one["const"])
    if "enum" in one:
        return ", ".join(map(_code, one["enum"]))
    if len(_choices(one)) > 1:
        return _type(one)
    kind: str = one.get("type", "any")
    if kind == "array":
        return f"list of {_type(one.get('items', {}))}"
    if kind == "object" and isinstance(one.get("additionalProperties"), dict):
        return f"map of {_type(one['additionalProperties'])}"
    if abs(one.get("minimum", 0)) > 2**53:  # the range of the type itself
        return kind
    low = next((f"{word} {one[key]}" for key, word in (("minimum", "≥"), ("exclusiveMinimum", ">")) if key in one), "")
    high = next((f"{word} {one[key]}" for key, word in (("maximum", "≤"), ("exclusiveMaximum", "<")) if key in one), "")
    return " ".join([{"string": "text"}.get(kind, kind), *filter(None, (low, high))])


def _code(value: Any) -> str:
    """A value as YAML on one line, or as a pair of a key and a value, in a cell of a table."""
    if isinstance(value, dict) and len(value) == 1:
        ((key, inner),) = value.items()
        return f"`{key}: {_flow(inner)}`"
    return f"`{_flow(value)}`"


def _default(value: Any) -> str:
    """Of a block it is what the block's own table says."""
    return "the block's own" if isinstance(value, dict) and len(value) > 1 else _code(value)


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _short(value: Any) -> Any:
    """An object's first fields, as many as a cell holds, and at least one."""
    if isinstance(value, dict):
        while len(value) > 1 and len(_flow(value)) > _WIDTH:
            value = dict(list(value.items())[:-1])
    return value


def _flow(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10**9, sort_keys=False, allow_unicode=True)
    return text.strip().removesuffix("...").strip().replace("|", "\\|")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def cli_page() -> str:
    parts = [
        "# Command line\n\nGenerated from the program; `shortlist COMMAND --help` prints the same. Exit codes: 0 done, "
        "1 a step or a service failed, 2 the recipe or the command line is wrong, 3 the gate refused the release, "
        "130 interrupted, 143 and 129 ended from outside.\n"
    ]
    root = typer.main.get_command(app)
    parts.append(f"{_cell(str(root.epilog))}\n")
    for name, command in _commands(root, "shortlist"):
        shown = [one for one in command.params if not getattr(one, "hidden", False) and one.name != "help"]
        arguments = [_metavar(one) for one in shown if one.param_type_name == "argument"]
        usage = " ".join([name, *arguments, *(["[OPTIONS]"] if len(arguments) < len(shown) else [])])
        parts.append(f"## {name}\n\n```text\n{usage}\n```\n")
        parts.append("\n\n".join(_cell(part) for part in (command.help or "").split("\n\n")) + "\n")
        if shown:
            parts.append("| parameter | default | what it is |\n|---|---|---|")
        for one in shown:
            named = one.param_type_name == "option"
            label = ", ".join([*one.opts, *one.secondary_opts]) if named else _metavar(one)
            known = getattr(one.default, "value", one.default)
            default = "" if known is None or callable(known) else _code(known)
            parts.append(f"| `{label}` | {default} | {_cell(getattr(one, 'help', '') or '')} |")
        if shown:
            parts.append("")
    return "\n".join(parts).rstrip() + "\n"


def _metavar(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _commands(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}", command


def http_page() -> str:
    nothing = Columns(TableSchema())
    request, _ = request_types(Serving(), nothing, nothing)
    template = "#/$defs/{model}"
    parts: list[str] = [
        "# HTTP API\n\nThe types of the OpenAPI description that a service gives at `/openapi.json`, with the default "
        "limits of a recipe's `serving` block. [The HTTP API](../api.md) is the guide, with examples.\n",
        "| request | body | answer |\n|---|---|---|\n"
        "| `POST /v1/models/shortlist:predict` | `Request` | `Answer` |\n"
        "| `POST /v2/models/shortlist/infer` | a BYTES tensor `instances`, a `Query` as JSON text in each element "
        "| a BYTES tensor `predictions`, a `Prediction` as JSON text in each element |\n",
        "| status | when |\n|---|---|\n| 200 | The lists. |\n"
        + "".join(f"| {status} | {_cell(text)} |\n" for status, text in REFUSALS.items()),
    ]
    for adapter in (request, TypeAdapter(Answer), TypeAdapter(Refusal)):
        schema = adapter.json_schema(ref_template=template)
        for name, one in [(schema["title"], schema), *schema.get("$defs", {}).items()]:
            parts.append(f"## {name}\n\n{one.get('description', '')}\n")
            parts.append("| key | type | example | what it is |\n|---|---|---|---|")
            for key, field in one["properties"].items():
                example = json.dumps(field["examples"][0], ensure_ascii=False) if "examples" in field else ""
                parts.append(
                    f"| `{key}` | {_type(field)} | {f'`{example}`' if example else ''} "
                    f"| {_cell(field.get('description', ''))} |"
                )
            parts.append("")
    return "\n".join(parts).rstrip() + "\n"


if __name__ == "__main__":
    for page, text in render().items():
        (FOLDER / page).write_text(text)
