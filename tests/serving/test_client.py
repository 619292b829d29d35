"""The Python client against a service that runs, and against servers that fail."""

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import get_type_hints

import pytest

from shortlist.answer.request_schema import Columns, request_types
from shortlist.client import AsyncClient, Client, Query, RefusedError, Rules, UnavailableError
from shortlist.features import TableSchema
from shortlist.recipe import Serving
from shortlist.serving.local import LocalService


def test_it_has_every_key_of_the_api() -> None:
    schema = request_types(Serving(), Columns(TableSchema()), Columns(TableSchema()))[1].json_schema()
    assert get_type_hints(Query).keys() == schema["properties"].keys()
    assert get_type_hints(Rules).keys() == schema["$defs"]["Rules"]["properties"].keys()


def test_recommendations_of_both_clients(service: LocalService) -> None:
    url = f"http://127.0.0.1:{service.http_port}"
    with Client(url, deadline=30) as client:
        one = client.recommend(user_id=7, k=3, rules={"at_most": {"artist": 1}})
        several = client.recommend_many([{"user_id": 7, "k": 3}, {"item_id": 1003, "k": 2}])
    assert len(one["items"]) == 3
    assert [len(answer["items"]) for answer in several] == [3, 2]
    assert several[1]["source"] == "item"

    async def both() -> list[int]:
        async with AsyncClient(url, deadline=30) as client:
            found = await asyncio.gather(*(client.recommend(user_id=user, k=user) for user in (1, 2, 3)))
        return [len(answer["items"]) for answer in found]

    assert asyncio.run(both()) == [1, 2, 3]


def test_a_refusal_is_raised_with_the_service_s_message(service: LocalService) -> None:
    with Client(f"http://127.0.0.1:{service.http_port}", deadline=30) as client:
        with pytest.raises(RefusedError, match=r"instances\[0\]\.k is 0; it must be") as refused:
            client.recommend(k=0)
        assert refused.value.status == 400


class Flaky(BaseHTTPRequestHandler):
    """Not ready for two requests, then an answer."""

    requests = 0

    def do_POST(self) -> None:
        type(self).requests += 1
        status, body = (
            (503, b'{"error": "starting"}') if self.requests < 3 else (200, b'{"predictions": [{"items": []}]}')
        )
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def flaky() -> Iterator[str]:
    Flaky.requests = 0
    server = HTTPServer(("127.0.0.1", 0), Flaky)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_service_that_starts_is_asked_again(flaky: str) -> None:
    with Client(flaky, deadline=30) as client:
        assert client.recommend(k=1)["items"] == []
    assert Flaky.requests == 3


def test_an_asynchronous_client_asks_again(flaky: str) -> None:
    async def one() -> int:
        async with AsyncClient(flaky, deadline=30) as client:
            return len((await client.recommend(k=1))["items"])

    assert asyncio.run(one()) == 0
    assert Flaky.requests == 3


def test_without_a_service_the_deadline_ends_it() -> None:
    client = Client("http://127.0.0.1:9", deadline=0.2)
    with client, pytest.raises(UnavailableError, match=r"no answer within 0\.2 s: ConnectError"):
        client.recommend(k=1)
