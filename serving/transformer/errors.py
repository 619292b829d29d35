"""Maps errors to statuses.

Every refusal is `{"error": message}`: 400 for a bad request, 413 for one that is too large, 404 and 405 for an unknown
path or method; over gRPC INVALID_ARGUMENT and NOT_FOUND.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from kserve.errors import InvalidInput, ModelNotFound
from kserve.protocol.model_repository_extension import ModelRepositoryExtension
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shortlist.answer.refusal import BadRequestError, not_json

_BODY_BYTES = 1 << 20
_BYTES_OF_AN_ID = 32


def max_body_bytes(max_history: int) -> int:
    """The maximum size of a body that is read."""
    return _BODY_BYTES + _BYTES_OF_AN_ID * max_history


class RefusedError(InvalidInput):  # type: ignore[misc]  # kserve is untyped
    """A BadRequestError as KServe expects it."""

    def __init__(self, error: BadRequestError) -> None:
        super().__init__(str(error))
        self.status = error.status


class ClosedRepository(ModelRepositoryExtension):  # type: ignore[misc]  # kserve is untyped
    """Refuses to load and unload models by request, which KServe allows every client by REST and gRPC."""

    async def load(self, model_name: str) -> None:
        """Raises RefusedError."""
        raise RefusedError(BadRequestError(f"{model_name}: models are not loaded by request; deploy a release", 403))

    async def unload(self, model_name: str) -> None:
        """Raises RefusedError."""
        raise RefusedError(BadRequestError(f"{model_name}: models are not unloaded by request", 403))


def register(app: FastAPI, max_bytes: Callable[[], int]) -> None:
    """Handle refusals in KServe's application, before it starts; `max_bytes` is called for each request."""
    app.add_exception_handler(RefusedError, _refused)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _not_there)
    app.add_middleware(BodyLimit, max_bytes=max_bytes)


async def _refused(_: Any, error: Any) -> JSONResponse:
    return JSONResponse({"error": str(error)}, error.status)


async def _malformed(_: Any, error: Any) -> JSONResponse:
    return JSONResponse({"error": str(malformed(error.errors()[0]))}, 400)


async def _not_there(request: Any, error: Any) -> JSONResponse:
    """An unknown path or method, or a V2 body that cannot be decoded."""
    message = f"{request.method} {request.url.path}: {error.detail}; /openapi.json describes the paths and methods"
    if error.__cause__ is not None:
        message = f"the body is not JSON: {error.__cause__}"
    return JSONResponse({"error": message}, error.status_code, error.headers)


def malformed(mistake: Mapping[str, Any]) -> BadRequestError:
    """The refusal of a V2 request, from an error of pydantic."""
    if mistake["type"] == "json_invalid":
        return BadRequestError(f"the body is not JSON: {mistake['ctx']['error']} at character {mistake['loc'][-1]}")
    place = ".".join(str(part) for part in mistake["loc"] if part not in ("body", "InferenceRequest")) or "the body"
    return BadRequestError(
        f"the body is not a V2 inference request: {place}: {mistake['msg']}; send "
        '{"inputs": [{"name": "instances", "shape": [1], "datatype": "BYTES", "data": ["{\\"user_id\\": 7}"]}]}, '
        "or a V1 request to /v1/models/NAME:predict"
    )


class BodyLimit:
    """Refuses empty and too long bodies before they are parsed, and queries sent by another method than POST."""

    def __init__(self, app: ASGIApp, max_bytes: Callable[[], int]) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            if scope["type"] == "http" and scope["path"].endswith(":predict"):
                refusal = f"{scope['method']} is not allowed here; send the queries with POST"
                await JSONResponse({"error": refusal}, 405, {"Allow": "POST"})(scope, receive, send)
                return
            await self._app(scope, receive, send)
            return
        parts: list[bytes] = []
        size, more, most = 0, True, self._max_bytes()
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return  # the client disconnected
            size += len(message.get("body", b""))
            if size <= most:
                parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        if size == 0:
            await JSONResponse({"error": str(not_json(b"", "", "the body"))}, 400)(scope, receive, send)
            return
        if size > most:
            refusal = (
                f"the body has {size} bytes, at most {most} are allowed; "
                "send shorter histories (serving.max_history) or fewer instances"
            )
            await JSONResponse({"error": refusal}, 413)(scope, receive, send)
            return
        whole: list[Message] = [{"type": "http.request", "body": b"".join(parts), "more_body": False}]

        async def replay() -> Message:
            return whole.pop() if whole else await receive()

        await self._app(scope, replay, send)


class NoRefusals(logging.Filter):
    """Drops KServe's traceback for a request that is refused."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], InvalidInput | ModelNotFound))
