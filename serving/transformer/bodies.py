"""Decodes request bodies of any content type; bodies that cannot be decoded are refused in one format."""

import struct
from typing import Any

from kserve.errors import InvalidInput
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.rest.v2_datamodels import InferenceRequest
from pydantic import ValidationError

from shortlist.answer.refusal import BadRequestError, not_json
from shortlist.serving.transformer.errors import RefusedError, malformed

_BINARY = "inference-header-content-length"
_STRUCTURED = "application/cloudevents+json"


class Bodies(DataPlane):  # type: ignore[misc]  # kserve is untyped
    """Passes V1 bodies on unchanged, where KServe would decode JSON by content type and write its own error messages.

    The content type is not needed: curl, for example, sends forms by default.
    """

    def decode(
        self, body: Any, headers: dict[str, str], protocol_version: str = "v1", model_name: str | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """The payload for the model, and attributes of a cloud event. Raises RefusedError."""
        headers = headers or {}
        event = "ce-specversion" in headers or headers.get("content-type") == _STRUCTURED
        if isinstance(body, bytes) and protocol_version == "v1" and not event:
            return body, {}
        if isinstance(body, bytes) and protocol_version == "v2" and _BINARY not in headers:
            body = _inference_request(body)
        try:
            found: tuple[Any, dict[str, Any]] = super().decode(body, headers, protocol_version, model_name)
        except KeyError as error:
            raise RefusedError(BadRequestError(f"the body is not a V2 inference request: {error} is missing")) from None
        except (ValueError, LookupError, TypeError, AttributeError, struct.error, InvalidInput) as error:
            raise RefusedError(BadRequestError(f"the body cannot be read: {' '.join(str(error).split())}")) from None
        return found


def _inference_request(body: bytes) -> Any:
    try:
        return InferenceRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if first["type"] == "json_invalid":
            raise RefusedError(not_json(body, first["ctx"]["error"], "the body")) from None
        raise RefusedError(malformed(first)) from None
