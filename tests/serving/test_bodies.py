"""What cannot be read is refused in one form, by V1 and V2, whatever the content type says."""

import http.client
import json
from typing import Any

import pytest
from asking import JSON, post
from pydantic import TypeAdapter

from shortlist.answer.response_schema import Refusal
from shortlist.serving.local import LocalService

TYPES = ["application/json", "application/json; charset=utf-16", "text/plain", "application/octet-stream"]
V1, V2 = "/v1/models/shortlist:predict", "/v2/models/shortlist/infer"
TENSOR = {"name": "instances", "shape": [1], "datatype": "BYTES", "data": ['{"k": 1}']}
GOOD = json.dumps({"inputs": [TENSOR]}).encode()


def refused(service: LocalService, path: str, body: bytes, headers: dict[str, str], status: int = 400) -> str:
    found, answer = post(f"http://127.0.0.1:{service.http_port}{path}", body, headers)
    assert found == status, answer
    error: str = TypeAdapter(Refusal).validate_json(answer)["error"]
    assert "\n" not in error
    return error


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("path", [V1, V2])
@pytest.mark.parametrize(
    "body",
    [b"{", b"<html>", b"\xff", b"  ", b"[" * 100_000, b'{"a": "\xff"}', b"\x1f\x8b\x08\x00"],
    ids=["open", "html", "ff", "blank", "deep", "latin1", "gzip"],
)
def test_a_body_that_is_no_json(service: LocalService, path: str, kind: str, body: bytes) -> None:
    error = refused(service, path, body, {"Content-Type": kind})
    assert error.startswith(("the body is not JSON: ", "the body is empty"))


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize(
    ("query", "message"),
    [
        (b'{"k": NaN}', ".k is not a finite number; it must be a whole number"),
        (b'{"time": -Infinity}', ".time is not a finite number; it is seconds since 1970"),
        (b'{"context": {"volume": 1e999}}', ".context.volume is not a finite number; it must be a number or null"),
        (b'{"user_id": ' + b"9" * 400 + b"}", ".user_id is out of range; an id must be text or a 64-bit integer"),
        (b'{"user_id": 18446744073709551615}', ".user_id is out of range"),
        (b'{"k": 1, "k": 2}', " has the key 'k' twice in one object"),
        (b'{"user_id": "\\ud800"}', " is not JSON: "),
    ],
)
def test_json_that_no_parser_agrees_on(service: LocalService, kind: str, query: bytes, message: str) -> None:
    assert message in refused(service, V1, b'{"instances": [' + query + b"]}", {"Content-Type": kind})
    tensor = TENSOR | {"data": [query.decode()]}
    assert message in refused(service, V2, json.dumps({"inputs": [tensor]}).encode(), {"Content-Type": kind})


@pytest.mark.parametrize("kind", TYPES)
def test_v2_is_read_as_json_whatever_its_type(service: LocalService, kind: str) -> None:
    status, answer = post(f"http://127.0.0.1:{service.http_port}{V2}", GOOD, {"Content-Type": kind})
    assert status == 200, answer
    assert len(json.loads(json.loads(answer)["outputs"][0]["data"][0])["items"]) == 1


@pytest.mark.parametrize(
    ("length", "body", "message"),
    [
        ("x", GOOD, "the body cannot be read: invalid literal for int()"),
        ("11", b'{"input":[]}', "the body cannot be read: "),
        ("12", b'{"input":[]}', "the body is not a V2 inference request: 'inputs' is missing"),
    ],
)
def test_a_wrong_v2_body_with_a_binary_part(service: LocalService, length: str, body: bytes, message: str) -> None:
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": length}
    assert refused(service, V2, body, headers).startswith(message)


def test_a_v1_body_sent_to_v2_is_told_where_to_go(service: LocalService) -> None:
    for kind in TYPES:
        error = refused(service, V2, b'{"instances": [{}]}', {"Content-Type": kind})
        assert error.startswith("the body is not a V2 inference request: inputs: Field required; send ")
        assert error.endswith("or a V1 request to /v1/models/NAME:predict")


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("POST", "/v1/models/other:predict", 404, "Model with name other does not exist."),
        ("POST", "/v1/predict", 404, "POST /v1/predict: Not Found; /openapi.json describes the paths and methods"),
        ("GET", V1, 405, "GET is not allowed here; send the queries with POST"),
        ("GET", V2, 405, f"GET {V2}: Method Not Allowed; /openapi.json describes the paths and methods"),
        ("POST", "/v1/models/shortlist:explain", 501, "explanations are not supported; use :predict"),
    ],
)
def test_what_is_not_there(service: LocalService, method: str, path: str, status: int, message: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", service.http_port, timeout=30)
    connection.request(method, path, b'{"instances": [{}]}' if method == "POST" else None, JSON)
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())) == (status, {"error": message})
    connection.close()
    assert service.logs["transformer"] == ""


def test_a_cloud_event_is_answered_by_one(service: LocalService) -> None:
    event = {"specversion": "1.0", "id": "a", "source": "b", "type": "c", "time": "2026-01-01T00:00:00Z"}
    structured: dict[str, Any] = event | {"data": {"instances": [{"k": 1}]}}
    headers = {"Content-Type": "application/cloudevents+json"}
    status, answer = post(service.url, json.dumps(structured).encode(), headers)
    assert (status, len(json.loads(answer)["data"]["predictions"])) == (200, 1)
    binary = JSON | {f"ce-{name}": value for name, value in event.items()}
    status, answer = post(service.url, b'{"instances": [{"k": 1}]}', binary)
    assert (status, len(json.loads(answer)["predictions"])) == (200, 1)
    assert "not JSON" in refused(service, V1, b"{", binary)
