"""A transformer that is told to end while it is asked: nobody loses an answer."""

import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from released import wait_for_end

from shortlist.serving.ports import free_ports

BODY = b'{"instances": [{"k": 1}]}'


@pytest.fixture
def transformer(unranked: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    port, grpc_port = free_ports(2)
    arguments = ["--http_port", str(port), "--grpc_port", str(grpc_port)]
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "shortlist.serving.transformer",
            "--release",
            str(unranked),
            "--drain_seconds",
            "5",
            *arguments,
        ],
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
        text=True,
    )
    try:
        wait_until_it_answers(port)
        yield process, port
    finally:
        process.kill()
        process.wait()


def wait_until_it_answers(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if ask(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) == (200, None):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("it never answered")


def ask(connection: http.client.HTTPConnection) -> tuple[int, str | None]:
    """The status, and whether the connection is to be closed."""
    connection.request("POST", "/v1/models/shortlist:predict", BODY, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    return answer.status, answer.getheader("connection")


def test_a_signal_costs_no_answer(transformer: tuple[subprocess.Popen[str], int]) -> None:
    process, port = transformer
    told, failures = threading.Event(), []
    kept = [http.client.HTTPConnection("127.0.0.1", port, timeout=60) for _ in range(4)]

    def client(connection: http.client.HTTPConnection) -> None:
        """Asks over one connection, without a second try, until it is asked to close it."""
        try:
            while ask(connection) == (200, None):
                if told.is_set():
                    time.sleep(0.05)
        except (OSError, http.client.HTTPException) as error:
            failures.append(error)

    clients = [threading.Thread(target=client, args=(connection,)) for connection in kept]
    for thread in clients:
        thread.start()
    time.sleep(0.5)
    told.set()
    process.send_signal(signal.SIGTERM)
    for thread in clients:
        thread.join(30)
    # Whoever has not yet heard of the end still comes in.
    late = ask(http.client.HTTPConnection("127.0.0.1", port, timeout=60))
    assert process.poll() is None
    assert (failures, late) == ([], (200, "close"))
    wait_for_end(process)
