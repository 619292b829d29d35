"""How long the serving images take from `docker run` to their first answer: `python -m benchmarks.cold_start`.

The containers are those of a cluster: a read-only root file system, a /tmp of their own, user 1000. The first start of
each pays for reading the image from the disk and is told apart.
"""

import argparse
import http.client
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.made_release import make_release
from shortlist.serving.ports import free_ports

_GIVE_UP_SECONDS = 180.0
_QUERY = {"instances": [{"user_id": 1003, "k": 5}]}
_CANDIDATES = {"user_id": 1003, "candidates": [1001, 1002, 1003]}


def main() -> None:
    """Prints a line an image."""
    parser = argparse.ArgumentParser("python -m benchmarks.cold_start", description=__doc__)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--version", default="0.1.0", help="tag of the images")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        release = Path(folder, "release")
        make_release(release, num_items=20_000, num_users=1_000, ranks=True)
        Path(folder).chmod(0o755)
        release.chmod(0o755)
        for name in ("transformer", "predictor"):
            image = f"shortlist/{name}:{given.version}"
            seconds = [_start(name, image, release) for _ in range(given.starts)]
            print(f"{name}: first {seconds[0]:.1f} s, median {statistics.median(seconds):.1f} s of {len(seconds)}")


def _start(name: str, image: str, release: Path) -> float:
    """Seconds to the first answer."""
    port, other = free_ports(2)
    if name == "transformer":
        arguments, asked = ["--http_port", str(port), "--grpc_port", str(other)], _QUERY
        # Nobody answers there: the list comes in the order of retrieval, which is an answer all the same.
        arguments += ["--predictor_host", "127.0.0.1:9"]
    else:
        arguments, asked = ["--port", str(port)], _CANDIDATES
    begun = time.perf_counter()
    run = [
        "docker",
        "run",
        "-d",
        "--network",
        "host",
        "--read-only",
        "--tmpfs",
        "/tmp",
        "-v",
        f"{release}:/mnt/models:ro",
    ]
    started = subprocess.run(
        [*run, image, "--release", "/mnt/models", *arguments], check=True, capture_output=True, text=True
    )
    container = started.stdout.strip()
    try:
        while not _answers(port, asked):
            if time.perf_counter() - begun > _GIVE_UP_SECONDS:
                said = subprocess.run(["docker", "logs", container], check=False, capture_output=True, text=True)
                raise SystemExit(f"{image} does not answer\n{said.stdout}{said.stderr}")
            time.sleep(0.02)
        return time.perf_counter() - begun
    finally:
        subprocess.run(["docker", "rm", "-f", container], check=True, capture_output=True)


def _answers(port: int, asked: object) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        body = json.dumps(asked)
        connection.request("POST", "/v1/models/shortlist:predict", body, {"Content-Type": "application/json"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    main()
