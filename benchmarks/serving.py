"""How fast one release answers on this machine: `python -m benchmarks.serving --items 20000 1000000`.

For each size a release of random vectors is made and both services are started. One client, then eight, ask for the
top 10 of known users over HTTP as fast as they are answered: retrieve 500 of all items, rank them, answer. The
clients share the machine with the services; what each process took of its cores is printed beside.
"""

import argparse
import json
import os
import socket
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.kept import Figure, Figures
from benchmarks.made_release import make_release
from shortlist.serving.local import LocalService

_USERS = 1000
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Run:
    """What the clients saw."""

    seconds: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, nargs="+", default=[20_000, 1_000_000])
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement, after a warm-up of half")
    parser.add_argument("--repeats", type=int, default=3, help="the median run is shown")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    given = parser.parse_args()
    figures: list[Figure] = []
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    for items in given.items:
        with tempfile.TemporaryDirectory() as folder:
            release = Path(folder, "release")
            make_release(release, num_items=items, num_users=_USERS, serving="{deadline_ms: 2000}")
            with LocalService(release) as service:
                measure(service, clients=max(given.clients), seconds=given.seconds / 2)
                for clients in given.clients:
                    figures += report(service, items, clients, given)
    if given.json:
        Figures.here(figures).write(given.json)


def report(service: LocalService, items: int, clients: int, given: argparse.Namespace) -> list[Figure]:
    """Measure some times and print the median run as one line of JSON."""
    runs = []
    for _ in range(given.repeats):
        before = cpu_seconds(service)
        run = measure(service, clients=clients, seconds=given.seconds)
        spent = {name: used - before[name] for name, used in cpu_seconds(service).items()}
        runs.append((run, spent))
    runs.sort(key=lambda one: len(one[0].latencies_ms) / one[0].seconds)
    run, spent = runs[len(runs) // 2]
    count = len(run.latencies_ms)
    answers = [json.loads(body)["predictions"][0] for body in run.bodies[:: max(count // 1000, 1)]]
    stages = {
        stage: round(float(np.median([answer["timings_ms"][stage] for answer in answers])), 2)
        for stage in answers[0]["timings_ms"]
    }
    p50, p99 = np.quantile(run.latencies_ms, [0.5, 0.99])
    print(
        json.dumps(
            {
                "items": items,
                "clients": clients,
                "p50_ms": round(float(p50), 2),
                "p99_ms": round(float(p99), 2),
                "requests_per_second": round(count / run.seconds, 1),
                "of_all_runs": [round(len(one.latencies_ms) / one.seconds, 1) for one, _ in runs],
                "degraded": sum(answer["degraded"] is not False for answer in answers) / len(answers),
                "stage_ms_median": stages,
                "cpu_ms_a_request": {name: round(1e3 * used / count, 2) for name, used in spent.items()},
                "load_of_the_machine": round(os.getloadavg()[0], 1),
            }
        ),
        flush=True,
    )
    case = f"{items:,} items, {clients} client{'s' if clients > 1 else ''}"
    return [
        Figure(bench="serving", name=f"{case}, p50 ms", value=float(p50), better="lower"),
        Figure(bench="serving", name=f"{case}, p99 ms", value=float(p99), better="lower"),
        Figure(bench="serving", name=f"{case}, requests/s", value=count / run.seconds, better="higher"),
    ]


def measure(service: LocalService, *, clients: int, seconds: float) -> Run:
    """Ask from `clients` threads for some time."""
    runs = [Run() for _ in range(clients)]
    until = time.perf_counter() + seconds
    threads = [
        threading.Thread(target=ask, args=(service.http_port, run, until, seed)) for seed, run in enumerate(runs)
    ]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Run(
        time.perf_counter() - start,
        [one for run in runs for one in run.latencies_ms],
        [one for run in runs for one in run.bodies],
    )


def ask(port: int, run: Run, until: float, seed: int) -> None:
    """One client on one connection; written on the socket, for a client library would take more than the service."""
    users = np.random.default_rng(seed).integers(1, _USERS, 100_000).tolist()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for user in users:
            body = b'{"instances":[{"user_id":%d,"k":10}]}' % user
            head = (
                b"POST /v1/models/shortlist:predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            )
            start = time.perf_counter()
            if start > until:
                return
            connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            run.bodies.append(answer_of(connection))
            run.latencies_ms.append(1e3 * (time.perf_counter() - start))


def answer_of(connection: socket.socket) -> bytes:
    """The body of one HTTP answer of a known length."""
    received = connection.recv(65536)
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), received
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return body


def cpu_seconds(service: LocalService) -> dict[str, float]:
    """CPU time of the clients, the transformer, and TorchServe's Java and worker."""
    found = {"clients": sum(os.times()[:2]), "transformer": _cpu(service.pids["transformer"])}
    for pid in _descendants(service.pids["predictor"]):
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
        name = "java" if b"org.pytorch.serve" in words else "worker" if b"model_service_worker" in words else "launcher"
        found[name] = found.get(name, 0.0) + _cpu(pid)
    return found


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _descendants(pid: int) -> list[int]:
    threads = Path(f"/proc/{pid}/task").iterdir()
    children = [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    return [pid, *(grandchild for child in children for grandchild in _descendants(child))]


if __name__ == "__main__":
    main()
