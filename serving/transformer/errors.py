"""Where errors become statuses.

Every refusal is `{"error": message}`: 400 for what is wrong, 413 for what is too much; over gRPC INVALID_ARGUMENT.
"""

import logging
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from kserve.errors import InvalidInput
from kserve.protocol.model_repository_extension import ModelRepositoryExtension
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.question import BadRequestError

_BODY_BYTES = 1 << 20
_BYTES_OF_AN_ID = 32


class RefusedError(InvalidInput):  # type: ignore[misc]  # kserve is untyped
    """A BadRequestError as KServe wants it."""

    def __init__(self, error: BadRequestError) -> None:
        super().__init__(str(error))
        self.status = error.status


class ClosedRepository(ModelRepositoryExtension):  # type: ignore[misc]  # kserve is untyped
    """KServe lets whoever may ask a question also unload the model, by REST and by gRPC. Not here."""

    async def load(self, model_name: str) -> None:
        """Raises RefusedError."""
        raise RefusedError(BadRequestError(f"{model_name}: models are not loaded by request; deploy a release", 403))

    async def unload(self, model_name: str) -> None:
        """Raises RefusedError."""
        raise RefusedError(BadRequestError(f"{model_name}: models are not unloaded by request", 403))


def register(app: FastAPI, max_history: int) -> None:
    """Handle refusals in KServe's application, before it starts."""
    app.add_exception_handler(RefusedError, _refused)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_middleware(BodyLimit, max_bytes=_BODY_BYTES + _BYTES_OF_AN_ID * max_history)


async def _refused(_: Any, error: Any) -> JSONResponse:
    return JSONResponse({"error": str(error)}, error.status)


async def _malformed(_: Any, error: Any) -> JSONResponse:
    """A V2 request that is no V2 request."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return JSONResponse({"error": f"this is no V2 inference request: {where}: {first['msg']}"}, 400)


class BodyLimit:
    """Refuses what is empty or too long before it is read as JSON."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return  # the client went away
            size += len(message.get("body", b""))
            if size <= self._max_bytes:
                parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        if size == 0:
            refusal = 'the body is empty; send a JSON object like {"instances": [{"user_id": 7, "k": 10}]}'
            await JSONResponse({"error": refusal}, 400)(scope, receive, send)
            return
        if size > self._max_bytes:
            refusal = (
                f"the body has {size} bytes, at most {self._max_bytes} are read; "
                "send shorter histories (serving.max_history) or fewer instances"
            )
            await JSONResponse({"error": refusal}, 413)(scope, receive, send)
            return
        whole: list[Message] = [{"type": "http.request", "body": b"".join(parts), "more_body": False}]

        async def replay() -> Message:
            return whole.pop() if whole else await receive()

        await self._app(scope, replay, send)


class NoRefusals(logging.Filter):
    """Leaves out KServe's traceback for a request that the client must mend."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], InvalidInput))
