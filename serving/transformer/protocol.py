"""V1 and V2 requests to questions, and predictions back.

V1 REST     {"instances": [question, ...]} -> {"predictions": [prediction, ...]}
V2 REST     one BYTES tensor `instances` [N], each element the JSON text of a question
            -> one BYTES tensor `predictions` [N], each element the JSON text of a prediction
V2 gRPC     the same tensors, as `bytes_contents` or `raw_input_contents`; the answer takes the form of the request
"""

import struct
from typing import Any

import numpy as np
import orjson
from kserve import InferOutput, InferRequest, InferResponse
from kserve.errors import InvalidInput

from serving.question import BadRequestError

INPUT = {"name": "instances", "datatype": "BYTES", "shape": [-1]}
OUTPUT = {"name": "predictions", "datatype": "BYTES", "shape": [-1]}


def read(payload: Any) -> Any:
    """The body of a V1 request, whichever way it came. Raises BadRequestError."""
    if isinstance(payload, InferRequest):
        return {"instances": _instances(payload)}
    if isinstance(payload, bytes):  # with another content type than application/json
        return _json(payload, "the body")
    return payload


def write(predictions: list[dict[str, Any]], payload: Any) -> Any:
    """The answer in the protocol of the request."""
    if not isinstance(payload, InferRequest):
        return {"predictions": predictions}
    texts = np.array([orjson.dumps(one) for one in predictions], np.object_)
    output = InferOutput(OUTPUT["name"], [len(texts)], OUTPUT["datatype"])
    output.set_data_from_numpy(texts, binary_data=payload.use_binary_outputs)
    if payload.from_grpc and not payload.use_binary_outputs:
        output.data = texts.tolist()
    return InferResponse(
        response_id=payload.id or "",
        model_name=payload.model_name,
        infer_outputs=[output],
        from_grpc=payload.from_grpc,
        use_binary_outputs=payload.use_binary_outputs,
        requested_outputs=payload.request_outputs,
    )


def _instances(request: InferRequest) -> list[Any]:
    names = [tensor.name for tensor in request.inputs]
    if names != [INPUT["name"]] or request.inputs[0].datatype != "BYTES":
        raise BadRequestError(
            f"the inputs are {names}; send one BYTES tensor named 'instances', of which every element is the JSON "
            'text of a question, like {"user_id": 7, "k": 10}'
        )
    try:
        texts = request.inputs[0].as_numpy()
    except (ValueError, TypeError, struct.error, InvalidInput) as error:
        raise BadRequestError(f"instances: the tensor's shape and data do not fit: {error}") from None
    return [_json(text, f"instances[{i}]") for i, text in enumerate(texts.ravel().tolist())]


def _json(text: Any, where: str) -> Any:
    if not isinstance(text, bytes | str):
        raise BadRequestError(f"{where} is no text; send the JSON text of an object")
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadRequestError(f"{where} is no JSON: {error}") from None
