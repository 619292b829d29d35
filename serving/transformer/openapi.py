"""The service's OpenAPI description at /openapi.json, made from `schema` and the release in service."""

import json
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from kserve.protocol.rest.v2_datamodels import InferenceRequest, InferenceResponse
from pydantic import TypeAdapter

from shortlist.answer.response_schema import Answer, Refusal
from shortlist.serving.transformer.errors import max_body_bytes

if TYPE_CHECKING:
    from shortlist.serving.transformer.model import Transformer

_REF = "#/components/schemas/{model}"
_HIDDEN = ("/repository/", ":explain", "/versions/")
REFUSALS = {
    "400": "The request is wrong. The message gives the location, the allowed values and the nearest name.",
    "404": "There is no such model.",
    "405": "Queries must be sent with POST.",
    "413": "The body, a list or a text is too long.",
    "500": "An error of the service. It is safe to repeat the request.",
    "503": "The service is starting or stopping. Repeat the request.",
}


def describe(app: FastAPI, model: "Transformer") -> None:
    """Replace the description of KServe's application; it is made anew for each release."""

    def openapi() -> dict[str, Any]:
        model.load()
        release = model.service.release.name
        if app.openapi_schema is None or app.openapi_schema["info"]["version"] != release:
            app.openapi_schema = document(app, model)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way


def document(app: FastAPI, model: "Transformer") -> dict[str, Any]:
    """The OpenAPI 3.1 description of a loaded transformer."""
    release = model.service.release
    recipe, reader = release.recipe, release.reader
    _, schemas = TypeAdapter.json_schemas(
        [
            ("request", "validation", reader.request_type),
            ("query", "validation", reader.query_type),
            ("answer", "serialization", TypeAdapter(Answer)),
            ("refusal", "serialization", TypeAdapter(Refusal)),
            ("v2_request", "validation", TypeAdapter(InferenceRequest)),
            ("v2_answer", "serialization", TypeAdapter(InferenceResponse)),
        ],
        ref_template=_REF,
    )
    found = get_openapi(
        title=f"Shortlist: {recipe.name}",
        version=release.name,
        summary="Recommendations from one release.",
        description=f"{recipe.description or ''}\n\nThe version is the content hash of the release. A body has at most "
        f"{max_body_bytes(recipe.serving.max_history):,} bytes. An answer takes at most about "
        f"{recipe.serving.deadline_ms} ms (`serving.deadline_ms`): past it a list is not ranked, and its `degraded` "
        "says so.".strip(),
        routes=app.routes,
    )
    paths: dict[str, Any] = {
        path: known for path, known in found["paths"].items() if not any(part in path for part in _HIDDEN)
    }
    components = found.setdefault("components", {}).setdefault("schemas", {})
    components |= schemas["$defs"]
    example = {"instances": [{"user_id": 7, "k": 10}]}
    predict = paths["/v1/models/{model_name}:predict"]["post"]
    _describe_route(predict, "Request lists (V1).", "Request", "Answer", example)
    tensor = {"name": "instances", "shape": [1], "datatype": "BYTES", "data": [json.dumps(example["instances"][0])]}
    infer = paths["/v2/models/{model_name}/infer"]["post"]
    _describe_route(infer, "Request lists (V2).", "InferenceRequest", "InferenceResponse", {"inputs": [tensor]})
    infer["description"] += (
        " One BYTES tensor `instances` [N], each element the JSON text of a `Query`; the answer has one BYTES tensor "
        "`predictions` [N], each element the JSON text of a `Prediction`."
    )
    for path in paths.values():
        for operation in path.values():
            operation["responses"].pop("422", None)
            for parameter in operation.get("parameters", []):
                if parameter["name"] == "model_name":
                    parameter["schema"]["examples"] = [model.name]
    for unused in ("HTTPValidationError", "ValidationError"):
        components.pop(unused, None)
    return found | {"paths": paths}


def _describe_route(
    operation: dict[str, Any], summary: str, request: str, answer: str, example: dict[str, Any]
) -> None:
    """Describe the input and output of a route that takes queries."""
    operation["summary"] = summary
    operation["description"] = "Requests change nothing and may be repeated."
    operation["parameters"] = [one for one in operation["parameters"] if one["name"] == "model_name"]
    content = {"schema": {"$ref": _REF.format(model=request)}, "example": example}
    operation["requestBody"] = {"required": True, "content": {"application/json": content}}
    refusal = {"application/json": {"schema": {"$ref": _REF.format(model="Refusal")}}}
    good = {"application/json": {"schema": {"$ref": _REF.format(model=answer)}}}
    operation["responses"] = {"200": {"description": "The lists.", "content": good}} | {
        status: {"description": description, "content": refusal} for status, description in REFUSALS.items()
    }
