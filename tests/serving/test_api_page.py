"""docs/api.md, held to the schema and to a served release: its tables, its statuses and its examples."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from asking import JSON, post
from pydantic import TypeAdapter

from shortlist.answer.request_schema import MAX_INSTANCES, MAX_ROWS, Columns, request_types
from shortlist.answer.response_schema import Answer, Item, Prediction, Refusal
from shortlist.features import TableSchema
from shortlist.recipe import Serving
from shortlist.serving.local import LocalService
from shortlist.serving.transformer.errors import max_body_bytes

PAGE, RULES, ROWS, CANDIDATES, OBJECTIVES = (
    Path(f"docs/{name}.md").read_text() for name in ("api", "rules", "rows", "candidates", "objectives")
)


def blocks(language: str, page: str = PAGE) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def rows(kind: TypeAdapter[Any]) -> list[str]:
    """The lines of a table, one a key."""
    properties = kind.json_schema()["properties"]
    return [f"| `{name}` | {about['description']} |" for name, about in properties.items()]


def table(after: str) -> list[str]:
    """The lines of the first table after some text, without its head."""
    lines = PAGE.partition(after)[2].partition("|---")[2].split("\n")[1:]
    return lines[: next(i for i, line in enumerate(lines) if not line.startswith("|"))]


def here(text: str, service: LocalService) -> str:
    """An example of the page, of the service that runs."""
    return text.replace("localhost:8080", f"127.0.0.1:{service.http_port}").replace(
        "localhost:8081", f"127.0.0.1:{service.grpc_port}"
    )


@pytest.mark.parametrize(
    ("after", "kind"),
    [
        ("\n## Request\n", request_types(Serving(), Columns(TableSchema()), Columns(TableSchema()))[1]),
        ("\n## Response\n", TypeAdapter(Prediction)),
        ("\nFields of an item:\n", TypeAdapter(Item)),
    ],
)
def test_a_table_of_keys_is_the_schema(after: str, kind: TypeAdapter[Any]) -> None:
    assert table(after) == rows(kind)


def test_the_limits_are_those_of_the_code() -> None:
    assert f"{max_body_bytes(Serving().max_history):,} bytes" in PAGE
    assert f"`serving.deadline_ms`, {Serving().deadline_ms}:" in PAGE
    assert f"`serving.max_k`, {Serving().max_k} |" in PAGE


def test_the_answer_that_is_shown_is_one() -> None:
    (shown,) = blocks("json")
    TypeAdapter(Answer).validate_json(shown)


STATUSES = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table("\n## Statuses\n")]


@pytest.mark.parametrize(("status", "_when", "body", "message"), STATUSES)
def test_a_status(service: LocalService, status: str, _when: str, body: str, message: str) -> None:
    found, answer = post(service.url, body.strip("`").replace("…", "u" * 300).encode(), JSON)
    assert found == int(status)
    if status == "200":
        TypeAdapter(Answer).validate_json(answer)
    else:
        assert TypeAdapter(Refusal).validate_json(answer)["error"].startswith(message)


@pytest.mark.parametrize("command", blocks("sh"))
def test_a_curl_example(service: LocalService, command: str) -> None:
    done = subprocess.run(["bash", "-c", here(command, service)], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    if "outputs" in found:
        found = {"predictions": [json.loads(text) for text in found["outputs"][0]["data"]]}
    for prediction in TypeAdapter(Answer).validate_python(found)["predictions"]:
        assert len(prediction["items"]) in (2, 3)
        assert prediction["source"] in ("history", "item")
        assert not prediction["unknown_items"] + prediction["unknown_exclude"] + len(prediction["unknown_values"])


@pytest.mark.parametrize("command", blocks("sh", RULES))
def test_an_example_of_a_rule(service: LocalService, command: str) -> None:
    done = subprocess.run(["bash", "-c", here(command, service)], capture_output=True, text=True, check=True)
    (prediction,) = TypeAdapter(Answer).validate_json(done.stdout)["predictions"]
    assert len(prediction["items"]) == 3
    assert not prediction["unknown_rules"]


@pytest.mark.parametrize("command", [one for one in blocks("sh", OBJECTIVES) if one.startswith("curl")])
def test_an_example_of_an_objective(labelled: LocalService, command: str) -> None:
    done = subprocess.run(["bash", "-c", here(command, labelled)], capture_output=True, text=True, check=True)
    (prediction,) = TypeAdapter(Answer).validate_json(done.stdout)["predictions"]
    assert len(prediction["items"]) == 3
    assert prediction["degraded"] is False


@pytest.mark.parametrize("command", blocks("sh", ROWS))
def test_an_example_of_rows(service: LocalService, command: str) -> None:
    done = subprocess.run(["bash", "-c", here(command, service)], capture_output=True, text=True, check=True)
    (page,) = TypeAdapter(Answer).validate_json(done.stdout)["predictions"]
    assert len(page["rows"]) in (2, 5)
    assert len({item["item_id"] for row in page["rows"] for item in row["items"]}) == 3 * len(page["rows"])


@pytest.mark.parametrize("command", blocks("sh", CANDIDATES))
def test_an_example_of_sources(service: LocalService, command: str) -> None:
    done = subprocess.run(["bash", "-c", here(command, service)], capture_output=True, text=True, check=True)
    (prediction,) = TypeAdapter(Answer).validate_json(done.stdout)["predictions"]
    assert len(prediction["items"]) == 5
    assert {item["source"] for item in prediction["items"]} == {"popularity"}
    assert all(item["found_by"] == ["popularity"] for item in prediction["items"])


def test_the_keys_of_a_row_are_those_that_the_page_names() -> None:
    definitions = request_types(Serving(), Columns(TableSchema()), Columns(TableSchema()))[1].json_schema()["$defs"]
    (line,) = re.findall(r"^- A row has the keys (.*?)\. A key", ROWS, re.MULTILINE | re.DOTALL)
    assert set(re.findall(r"`(\w+)`", line)) == set(definitions["Row"]["properties"])
    assert "- At most 20 rows, and 64 queries" in ROWS
    assert (MAX_ROWS, MAX_INSTANCES) == (20, 64)


@pytest.mark.parametrize("program", [*blocks("python"), *blocks("python", ROWS)])
def test_a_python_example(service: LocalService, program: str) -> None:
    command = [sys.executable, "-c", here(program, service)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (items,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(items) == 3
