"""Images of this checkout, and containers of them, by the Docker engine of this machine."""

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
VERSION = "0.1.0"


def docker(*arguments: str) -> str:
    """What docker says. Fails the test with its error."""
    ended = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def engine_or_skip() -> None:
    try:
        subprocess.run(["docker", "version"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no Docker engine answers; `make engine` starts one (as root on Debian)")


def base_or_skip() -> str:
    """BASE, else the Dockerfiles' own if it can be pulled, else one made of Debian's packages."""
    if base := os.environ.get("BASE"):
        return base
    if not docker("image", "ls", "-q", "shortlist-base:bookworm"):
        public = (ROOT / "components/Dockerfile").read_text().split("ARG BASE=")[1].splitlines()[0]
        if subprocess.run(["docker", "pull", "-q", public], capture_output=True, check=False).returncode == 0:
            return public
        made = subprocess.run([ROOT / "images/base.sh"], capture_output=True, text=True, check=False)
        if made.returncode != 0:
            pytest.skip(f"{public} cannot be pulled, and images/base.sh makes no base: {made.stderr.strip()[-300:]}")
    return "shortlist-base:bookworm"


def build(name: str) -> str:
    """Build an image as `make images` does; what it is called."""
    engine_or_skip()
    environment = os.environ | {"BASE": base_or_skip()}
    command = [ROOT / "images/build.sh", name]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return f"shortlist/{name}:{VERSION}"


def inspect(image: str) -> dict[str, Any]:
    """docker inspect."""
    found: dict[str, Any] = json.loads(docker("image", "inspect", image))[0]
    return found


def inside(image: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in place of the image's own; its exit code is the test's business."""
    start = ["docker", "run", "--rm", "--network", "none", "--entrypoint", command[0]]
    return subprocess.run([*start, image, *command[1:]], capture_output=True, text=True, check=False)


@contextmanager
def serving(image: str, release: Path, arguments: Sequence[str]) -> Iterator[str]:
    """A container as a cluster would run it, for a release at /mnt/models; its id."""
    release.chmod(0o755)
    run = ["run", "-d", "--network", "host", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"]
    container = docker(*run, "-v", f"{release}:/mnt/models:ro", image, "--release", "/mnt/models", *arguments).strip()
    try:
        yield container
    finally:
        docker("rm", "-f", container)


def ask(url: str, body: dict[str, Any], container: str) -> dict[str, Any]:
    """The answer to a POST, once the container gives one."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    deadline = time.monotonic() + 180
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except OSError as error:
            running = docker("inspect", "-f", "{{.State.Running}}", container).strip() == "true"
            if not running or time.monotonic() > deadline:
                raise AssertionError(f"{error}\n{docker('logs', container)}") from error
            time.sleep(0.1)


def stop(container: str) -> int:
    """SIGTERM, with 20 seconds until SIGKILL; the exit code, which SIGKILL makes 137."""
    docker("stop", "-t", "20", container)
    return int(docker("inspect", "-f", "{{.State.ExitCode}}", container))
