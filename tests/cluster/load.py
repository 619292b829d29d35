"""Clients of a service, for a while: what each request saw. Standard library only, it runs in a pod.

    python load.py URL --clients 4 --per_second 20 --seconds 60 < QUERIES > SEEN

QUERIES is a JSON list; SEEN is one JSON line a request: {"at", "ms", "query", "status", "release", "degraded",
"items"}, or {"at", "ms", "query", "error"}. A client keeps its connection until the server asks to close it, and
never tries a request twice. It ends early when there is a file called /tmp/stop.
"""

import argparse
import http.client
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_STOP = Path("/tmp/stop")
_MAX_SECONDS = 600
_MAX_PER_SECOND = 1000


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument(
        "--per_second", type=float, default=20.0, help="of all clients together; 0: one after the other"
    )
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    if given.seconds > _MAX_SECONDS or given.per_second > _MAX_PER_SECOND:
        raise SystemExit(f"at most {_MAX_SECONDS} seconds and {_MAX_PER_SECOND} requests a second")
    queries = json.load(sys.stdin)
    _STOP.unlink(missing_ok=True)
    until = time.time() + given.seconds
    pause = given.clients / given.per_second if given.per_second else 0.0
    writing = threading.Lock()
    clients = [
        threading.Thread(target=client, args=(given.url, queries, seed, until, pause, writing))
        for seed in range(given.clients)
    ]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()


def client(url: str, queries: list[Any], seed: int, until: float, pause: float, writing: threading.Lock) -> None:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    at = seed
    while time.time() < until and not _STOP.exists():
        at = (at + 7) % len(queries)
        started, start = time.time(), time.perf_counter()
        try:
            body = json.dumps({"instances": [queries[at]]})
            connection.request("POST", parts.path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            seen = read(answer.status, answer.read())
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            seen = {"error": f"{type(error).__name__}: {error}"}
        took = time.perf_counter() - start
        with writing:
            print(json.dumps({"at": round(started, 3), "ms": round(1e3 * took, 3), "query": at, **seen}), flush=True)
        time.sleep(max(pause - took, 0.0))
    connection.close()


def read(status: int, body: bytes) -> dict[str, Any]:
    if status != http.client.OK:
        return {"status": status, "error": body.decode(errors="replace")[:200]}
    (prediction,) = json.loads(body)["predictions"]
    items = [item["item_id"] for item in prediction["items"]]
    return {"status": status, "release": prediction["release"], "degraded": prediction["degraded"], "items": items}


if __name__ == "__main__":
    main()
