"""The transformer beside predictors that fail in every way: an answer in time, in retrieval order, and it says so."""

import asyncio
import io
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from benchmarks.made_release import make_release
from shortlist.answer.query import Query
from shortlist.recommend.request import RankingRequest
from shortlist.serving.ports import free_ports
from shortlist.serving.transformer.service import Service

DEADLINE_MS = 400
Handler = Callable[[web.Request], Coroutine[Any, Any, web.StreamResponse]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hasty") / "made"
    make_release(folder, num_items=600, num_users=20, serving=f"{{deadline_ms: {DEADLINE_MS}}}")
    return folder


@asynccontextmanager
async def predictor(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/v1/models/shortlist:predict", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    (port,) = free_ports(1)
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await runner.cleanup()


async def ask(folder: Path, host: str) -> tuple[dict[str, Any], float]:
    service = Service.open(folder, "shortlist", host)
    try:
        start = time.perf_counter()
        (answer,) = await service.answer([Query(k=10, user_id=3)])
        return answer, 1e3 * (time.perf_counter() - start)
    finally:
        await service.close()


def in_order_of_retrieval(answer: dict[str, Any]) -> bool:
    found = [item["retrieval_score"] for item in answer["items"]]
    return len(found) == 10 and found == sorted(found, reverse=True) == [item["score"] for item in answer["items"]]


def npy(array: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


async def hangs(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(60)
    raise AssertionError


async def hangs_in_the_body(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    await answer.write(b"\x93NUMPY")
    await asyncio.sleep(60)
    raise AssertionError


async def dies(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def breaks(_: web.Request) -> web.StreamResponse:
    return web.Response(status=503, text="Prediction failed\nTraceback ...")


async def serves_another(_: web.Request) -> web.StreamResponse:
    return web.json_response({"error": "this predictor serves release feedc0de"}, status=409)


async def answers_text(_: web.Request) -> web.StreamResponse:
    return web.Response(text="hello")


async def answers_too_few(_: web.Request) -> web.StreamResponse:
    return web.Response(body=npy(np.ones((1, 3), np.float32)))


async def answers_nan(_: web.Request) -> web.StreamResponse:
    return web.Response(body=npy(np.full((1, 500), np.nan, np.float32)))


async def answers_a_pickle(_: web.Request) -> web.StreamResponse:
    out = io.BytesIO()
    np.save(out, np.array([{"a": 1}]), allow_pickle=True)
    return web.Response(body=out.getvalue())


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (hangs, "timeout: the predictor did not answer within"),
        (hangs_in_the_body, "timeout: the predictor did not answer within"),
        (dies, "unreachable: "),
        (breaks, "refused: the predictor answered 503 Prediction failed Traceback"),
        (serves_another, "other_release: "),
        (answers_text, "bad_answer: the predictor's answer is not an npy file"),
        (answers_too_few, "bad_answer: the predictor answered an array of float32 (1, 3)"),
        (answers_nan, "bad_answer: "),
        (answers_a_pickle, "bad_answer: the predictor's answer is not an npy file"),
    ],
)
def test_a_failing_predictor(folder: Path, handler: Handler, reason: str) -> None:
    async def run() -> tuple[dict[str, Any], float]:
        async with predictor(handler) as host:
            return await ask(folder, host)

    answer, milliseconds = asyncio.run(run())
    assert answer["degraded"].startswith(reason)
    assert "\n" not in answer["degraded"]
    assert in_order_of_retrieval(answer)
    if handler in (hangs, hangs_in_the_body):
        assert 0.5 * DEADLINE_MS < milliseconds < 5 * DEADLINE_MS


def test_nobody_listens(folder: Path) -> None:
    (port,) = free_ports(1)
    answer, _ = asyncio.run(ask(folder, f"127.0.0.1:{port}"))
    assert answer["degraded"].startswith("unreachable: ")
    assert in_order_of_retrieval(answer)


def test_connections_that_are_never_accepted(folder: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1)
        answer, milliseconds = asyncio.run(ask(folder, f"127.0.0.1:{silent.getsockname()[1]}"))
    assert answer["degraded"].startswith("timeout: ")
    assert milliseconds < 5 * DEADLINE_MS


def test_a_good_predictor_is_believed(folder: Path) -> None:
    async def scores(request: web.Request) -> web.StreamResponse:
        asked, _ = RankingRequest.from_bytes(await request.read())
        assert request.content_type == "application/octet-stream"
        return web.Response(body=npy((asked.candidates_EK / 1000).astype(np.float32)))

    async def run() -> tuple[dict[str, Any], float]:
        async with predictor(scores) as host:
            return await ask(folder, host)

    answer, _ = asyncio.run(run())
    assert answer["degraded"] is False
    found = [item["item_id"] for item in answer["items"]]
    assert found == sorted(found, reverse=True)
    assert [item["score"] for item in answer["items"]] == [(i - 999) / 1000 for i in found]


def test_a_connection_that_breaks_is_tried_once_more(folder: Path) -> None:
    """As when the pod at its other end goes: the connection that was kept is dead, a new one leads elsewhere."""
    ends: dict[Any, int] = {}

    async def scores(request: web.Request) -> web.StreamResponse:
        ends[request.transport] = ends.get(request.transport, 0) + 1
        if ends[request.transport] > 1:
            return await dies(request)
        asked, _ = RankingRequest.from_bytes(await request.read())
        return web.Response(body=npy((asked.candidates_EK / 1000).astype(np.float32)))

    async def run() -> list[dict[str, Any]]:
        async with predictor(scores) as host:
            service = Service.open(folder, "shortlist", host)
            try:
                return [(await service.answer([Query(k=10, user_id=3)]))[0] for _ in range(4)]
            finally:
                await service.close()

    assert [answer["degraded"] for answer in asyncio.run(run())] == [False] * 4
    assert max(ends.values()) == 2, "no connection was kept, so none broke"


def test_a_release_that_ranks_needs_a_predictor(folder: Path) -> None:
    with pytest.raises(ValueError, match="--predictor_host"):
        Service.open(folder, "shortlist", None)
