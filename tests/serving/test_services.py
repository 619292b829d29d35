"""The real KServe server beside the real TorchServe."""

import io
import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from asking import JSON, post
from kserve.protocol.grpc import grpc_predict_v2_pb2 as v2
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from shortlist.answer.query import Query
from shortlist.answer.release import Release
from shortlist.answer.release_recommender import ReleaseRecommender
from shortlist.ranking.ranker import Ranker
from shortlist.serving.local import LocalService, ServiceError

BINARY = {"Content-Type": "application/octet-stream"}


def get(service: LocalService, path: str) -> tuple[int, str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{service.http_port}{path}", timeout=30) as answer:
        return answer.status, answer.read().decode()


def items_of(prediction: dict[str, Any]) -> list[dict[str, Any]]:
    assert prediction["degraded"] is False, prediction
    items: list[dict[str, Any]] = prediction["items"]
    return items


@pytest.fixture(scope="module")
def expected(release: Path) -> Any:
    """What the services must answer, computed in this process."""
    recommender = ReleaseRecommender.open(release)
    ranker = Ranker.open(release / "ranking", release / "retrieval", recommender.release.store)

    def expect(query: Query) -> list[dict[str, Any]]:
        found = recommender.find([query])
        assert found.request is not None
        (answer,) = recommender.answers(found, ranker.score(found.request), None)
        return items_of(answer)

    return expect


def same(found: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> None:
    assert [one["item_id"] for one in found] == [one["item_id"] for one in wanted]
    for key in ("score", "retrieval_score"):
        np.testing.assert_allclose([one[key] for one in found], [one[key] for one in wanted], atol=2e-6)


def test_an_answer(service: LocalService, release: Path, expected: Any) -> None:
    context = {"device": "phone", "volume": 0.4}
    answer = service.ask({"user_id": 3, "k": 12, "context": context, "time": 3600})
    same(items_of(answer), expected(Query(k=12, user_id=3, context=context, time=3600)))
    assert answer["release"] == Release.open(release).name
    assert (answer["user"], answer["source"]) == ("known", "history")
    assert answer["timings_ms"].keys() == {"features", "retrieve", "rank", "total"}


def test_many_at_once_each_get_their_own(service: LocalService, expected: Any) -> None:
    queries = [{"user_id": 1 + i % 30, "k": 3 + i % 5, "time": 3600} for i in range(80)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(service.ask, queries))
    for query, answer in list(zip(queries, answers, strict=True))[::7]:
        same(items_of(answer), expected(Query(k=query["k"], user_id=query["user_id"], time=3600)))


def test_several_queries_of_a_request(service: LocalService) -> None:
    queries = [{"user_id": 4, "k": 2}, {"k": 3}, {"history": [1001, 1005], "k": 4}]
    status, body = post(service.url, json.dumps({"instances": queries}).encode(), JSON)
    assert status == 200
    first, second, third = json.loads(body)["predictions"]
    assert [len(items_of(one)) for one in (first, second, third)] == [2, 3, 4]
    assert [one["source"] for one in (first, second, third)] == ["history", "popularity", "history"]
    same(items_of(first), items_of(service.ask(queries[0])))
    same(items_of(third), items_of(service.ask(queries[2])))


def test_any_content_type_is_read_as_json(service: LocalService) -> None:
    body = b'{"instances": [{"k": 1}]}'
    for kind in ("application/json; charset=utf-8", "application/x-www-form-urlencoded", "text/plain"):
        status, answer = post(service.url, body, {"Content-Type": kind})
        assert status == 200, answer


def test_v2_rest(service: LocalService) -> None:
    url = f"http://127.0.0.1:{service.http_port}/v2/models/shortlist"
    texts = [json.dumps({"user_id": 3, "k": 2}), json.dumps({"k": 1})]
    tensor = {"name": "instances", "shape": [2], "datatype": "BYTES", "data": texts}
    status, body = post(f"{url}/infer", json.dumps({"id": "a7", "inputs": [tensor]}).encode(), JSON)
    assert status == 200, body
    answer = json.loads(body)
    (output,) = answer["outputs"]
    assert (answer["id"], answer["model_name"]) == ("a7", "shortlist")
    assert (output["name"], output["datatype"], output["shape"]) == ("predictions", "BYTES", [2])
    same(items_of(json.loads(output["data"][0])), items_of(service.ask({"user_id": 3, "k": 2})))
    metadata = json.loads(get(service, "/v2/models/shortlist")[1])
    assert metadata["inputs"][0]["name"] == "instances"
    assert metadata["outputs"][0]["name"] == "predictions"


@pytest.mark.parametrize("raw", [False, True])
def test_v2_grpc(service: LocalService, raw: bool) -> None:
    text = json.dumps({"user_id": 3, "k": 2}).encode()
    tensor = v2.ModelInferRequest.InferInputTensor(name="instances", datatype="BYTES", shape=[1])
    asked = v2.ModelInferRequest(model_name="shortlist", id="b8", inputs=[tensor])
    if raw:
        asked.raw_input_contents.append(len(text).to_bytes(4, "little") + text)
    else:
        asked.inputs[0].contents.bytes_contents.append(text)
    with grpc.insecure_channel(f"127.0.0.1:{service.grpc_port}") as channel:
        stub = GRPCInferenceServiceStub(channel)
        answer = stub.ModelInfer(asked, timeout=60)
        asked.inputs[0].name = "query"
        with pytest.raises(grpc.RpcError) as caught:
            stub.ModelInfer(asked, timeout=60)
    (output,) = answer.outputs
    assert (answer.id, output.name, output.datatype, list(output.shape)) == ("b8", "predictions", "BYTES", [1])
    found = answer.raw_output_contents[0][4:] if raw else output.contents.bytes_contents[0]
    same(items_of(json.loads(found)), items_of(service.ask({"user_id": 3, "k": 2})))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "send one BYTES tensor named 'instances'" in caught.value.details()


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"", 400, "the body is empty"),
        (b"{", 400, "the body is not JSON: EOF while parsing an object"),
        (b"\xff\xfe", 400, "it is not UTF-8: byte 0xff at position 0"),
        (b"[]", 400, "the body is a list"),
        (b'{"instances": [{"user_id": 1, "k": 0}]}', 400, "instances[0].k is 0"),
        (b'{"instances": [{"user_id": 1, "k": 1000000000}]}', 400, "from 1 to 600 (serving.max_k)"),
        (b'{"instances": [{"usr_id": 1}]}', 400, "did you mean 'user_id'?"),
        (b'{"instances": [{"user_id": {"a": 1}}]}', 400, "instances[0].user_id is an object"),
        (b'{"instances": [{"history": [' + b"1," * 10_000 + b"1]}]}", 413, "has 10001 ids, at most 10000 are allowed"),
        (b'{"instances": [{"history": [' + b"1234567," * 1_300_000 + b"1]}]}", 413, "are allowed; send shorter"),
    ],
)
def test_a_bad_request_gets_one_clear_message(service: LocalService, body: bytes, status: int, message: str) -> None:
    found, answer = post(service.url, body, JSON)
    assert found == status
    error = json.loads(answer)
    assert error.keys() == {"error"}
    assert message in error["error"]
    assert "\n" not in error["error"]


def test_a_bad_v2_request_gets_one_clear_message(service: LocalService) -> None:
    url = f"http://127.0.0.1:{service.http_port}/v2/models/shortlist/infer"
    tensor = {"name": "instances", "shape": [1], "datatype": "BYTES", "data": ["{"]}
    for change, message in (
        ({}, "instances[0] is not JSON"),
        ({"shape": [2]}, "shape and data do not match"),
        ({"name": "x"}, "the inputs are ['x']"),
        ({"datatype": "FP32", "data": [1.0]}, "send one BYTES tensor"),
        ({"data": [5]}, "instances[0] is not text"),
        ({"shape": "x"}, "the body is not a V2 inference request"),
    ):
        status, answer = post(url, json.dumps({"inputs": [tensor | change]}).encode(), JSON)
        assert (status, message in json.loads(answer)["error"]) == (400, True), answer


def test_refusals_and_answers_leave_no_line_in_the_log(service: LocalService) -> None:
    with pytest.raises(ServiceError, match=r"instances\[0\].k is 0") as caught:
        service.ask({"k": 0})
    assert caught.value.status == 400
    service.ask({"user_id": 3})
    assert service.logs == {"transformer": "", "predictor": f"predictor ready: {service.predictor_url}\n"}


def test_the_predictor_refuses_another_release_by_name(service: LocalService, release: Path) -> None:
    recommender = ReleaseRecommender.open(release)
    name = recommender.release.name
    asked = recommender.find([Query(k=1, user_id=3)]).request
    assert asked is not None
    assert service.predictor_url is not None
    with ThreadPoolExecutor(8) as pool:
        bodies = [asked.to_bytes(name if i % 2 else "feedc0de") for i in range(24)]
        answers = list(pool.map(lambda body: post(service.predictor_url or "", body, BINARY), bodies))
    for i, (status, answer) in enumerate(answers):
        if i % 2:
            assert status == 200
            assert np.load(io.BytesIO(answer)).shape == asked.candidates_EK.shape
        else:
            assert status == 409
            assert "feedc0de" in json.loads(answer)["error"]
            assert name in json.loads(answer)["error"]


def test_nobody_unloads_the_model(service: LocalService) -> None:
    url = f"http://127.0.0.1:{service.http_port}/v2/repository/models/shortlist"
    for verb in ("unload", "load"):
        status, body = post(f"{url}/{verb}", b"{}", JSON)
        assert (status, f"{verb}ed by request" in json.loads(body)["error"]) == (403, True)
    with grpc.insecure_channel(f"127.0.0.1:{service.grpc_port}") as channel:
        stub = GRPCInferenceServiceStub(channel)
        with pytest.raises(grpc.RpcError, match="not unloaded by request"):
            stub.RepositoryModelUnload(v2.RepositoryModelUnloadRequest(model_name="shortlist"), timeout=60)
    assert service.predictor_url is not None
    predictor = service.predictor_url.removesuffix("/v1/models/shortlist:predict")
    for path in ("/v2/repository/models/shortlist/unload", "/models/shortlist", "/models?url=x.mar"):
        assert post(f"{predictor}{path}", b"{}", JSON)[0] in (404, 405)
    assert items_of(service.ask({"user_id": 3}))


def test_the_predictor_reads_json(service: LocalService) -> None:
    assert service.predictor_url is not None
    status, answer = post(service.predictor_url, b'{"user_id": 3, "candidates": [1000, 1001]}', JSON)
    assert status == 200
    assert [one["item_id"] for one in json.loads(answer)["scores"]] == [1000, 1001]
    status, answer = post(service.predictor_url, b'{"user_id": 3, "candidates": [5]}', JSON)
    assert (status, "does not know 5" in json.loads(answer)["error"]) == (400, True)


def test_metrics_and_health(service: LocalService) -> None:
    service.ask({"k": 1})
    status, metrics = get(service, "/metrics")
    assert status == 200
    assert 'shortlist_queries_total{source="popularity",user="unknown"}' in metrics
    assert 'shortlist_stage_seconds_bucket{le="0.005",stage="retrieve"}' in metrics
    assert json.loads(get(service, "/v2/health/ready")[1]) == {"ready": True}
    assert json.loads(get(service, "/v1/models/shortlist")[1])["ready"] is True
