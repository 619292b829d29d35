"""The description that a service gives of itself."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from asking import JSON, post

from shortlist.answer.release import Release
from shortlist.serving.local import LocalService


@pytest.fixture(scope="module")
def document(service: LocalService) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{service.http_port}/openapi.json", timeout=30) as answer:
        found: dict[str, Any] = json.loads(answer.read())
    return found


def valid(document: dict[str, Any], name: str, value: Any) -> bool:
    """Whether a JSON value is what the description says of a schema."""
    whole = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    found: bool = jsonschema.Draft202012Validator(whole).is_valid(value)
    return found


def test_it_names_the_release_and_its_limits(document: dict[str, Any], release: Path) -> None:
    assert document["info"]["version"] == Release.open(release).name
    query = document["components"]["schemas"]["Query"]["properties"]
    assert {"type": "integer", "minimum": 1, "maximum": 600} in query["k"]["anyOf"]
    assert query["context"]["anyOf"][0]["properties"].keys() == {"device", "volume"}
    assert all(about["description"] for about in query.values())


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    used = {part.partition('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert used == set(document["components"]["schemas"])


def test_it_offers_nothing_that_is_refused(document: dict[str, Any]) -> None:
    posts = [path for path, about in document["paths"].items() if "post" in about]
    assert posts == ["/v1/models/{model_name}:predict", "/v2/models/{model_name}/infer"]
    for path in posts:
        responses = document["paths"][path]["post"]["responses"]
        assert responses.keys() == {"200", "400", "404", "405", "413", "500", "503"}
        assert all(about["content"]["application/json"]["schema"]["$ref"] for about in responses.values())


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"user_id": 7},
        {"user_id": None, "k": None, "history": None, "context": None, "user": None, "exclude": None, "time": None},
        {"history": [], "k": 600, "time": 0},
        {"history": [1003, "1004"], "exclude": ["x"], "context": {"device": ["phone", 3, True, None], "volume": 1.5}},
        {"k": 0},
        {"k": 601},
        {"k": "3"},
        {"user_id": 1.5},
        {"user_id": 2**63},
        {"user_id": "u" * 257},
        {"history": [None]},
        {"history": [1] * 10_001},
        {"context": {"devise": "phone"}},
        {"context": {"volume": "loud"}},
        {"context": {"volume": True}},
        {"context": {"device": {"a": 1}}},
        {"user": {"age": 3}},
        {"usr_id": 7},
        {"time": -1},
    ],
    ids=lambda query: json.dumps(query)[:40],
)
def test_it_and_the_service_agree(service: LocalService, document: dict[str, Any], query: dict[str, Any]) -> None:
    body = {"instances": [query]}
    status, answer = post(service.url, json.dumps(body).encode(), JSON)
    assert valid(document, "Request", body) == (status == 200)
    assert valid(document, "Answer" if status == 200 else "Refusal", json.loads(answer))


def test_its_own_examples_are_answered(service: LocalService, document: dict[str, Any]) -> None:
    for path, about in document["paths"].items():
        if "post" in about:
            example = about["post"]["requestBody"]["content"]["application/json"]["example"]
            url = f"http://127.0.0.1:{service.http_port}{path.replace('{model_name}', 'shortlist')}"
            assert post(url, json.dumps(example).encode(), JSON)[0] == 200
