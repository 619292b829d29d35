"""Converts V1 and V2 requests to queries, and predictions to answers.

V1 REST     {"instances": [query, ...]} -> {"predictions": [prediction, ...]}
V2 REST     one BYTES tensor `instances` [N], each element the JSON text of a query
            -> one BYTES tensor `predictions` [N], each element the JSON text of a prediction
V2 gRPC     the same tensors, as `bytes_contents` or `raw_input_contents`; the answer takes the form of the request
"""

import struct
from typing import Any

import numpy as np
import orjson
from kserve import InferOutput, InferRequest, InferResponse
from kserve.errors import InvalidInput

from shortlist.answer.query import Query, QueryReader
from shortlist.answer.refusal import BadRequestError
from shortlist.answer.response_schema import Page, Prediction

INPUT = {"name": "instances", "datatype": "BYTES", "shape": [-1]}
OUTPUT = {"name": "predictions", "datatype": "BYTES", "shape": [-1]}


def read(payload: Any, reader: QueryReader) -> list[Query]:
    """The queries of a request in either protocol. Raises BadRequestError."""
    return reader.texts(_instances(payload)) if isinstance(payload, InferRequest) else reader.request(payload)


def write(predictions: list[Prediction | Page], payload: Any) -> Any:
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
            f"the inputs are {names}; send one BYTES tensor named 'instances', each element the JSON text of a query, "
            'like {"user_id": 7, "k": 10}'
        )
    try:
        texts = request.inputs[0].as_numpy()
    except (ValueError, TypeError, struct.error, InvalidInput) as error:
        raise BadRequestError(f"instances: the tensor's shape and data do not match: {error}") from None
    found: list[Any] = texts.ravel().tolist()
    return found
