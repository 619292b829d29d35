"""Transformer and predictor of one release on this machine, for trying out and for tests."""

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Self

from serving.ports import check_port, free_ports
from shortlist.release.release import read_manifest

_START_SECONDS = 120.0
_STOP_SECONDS = 15.0
_ASK_SECONDS = 30.0
_NAME = "shortlist"


class ServiceError(RuntimeError):
    """A service did not start, or refused a question; the message says why."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        """The HTTP status of a refusal."""


class LocalService:
    """Both services of a release's folder, from `__enter__` to `__exit__`, which leave no process behind.

    They also end when this process is killed. Ports that are not given are free ones.
    """

    def __init__(
        self, release: str | Path, *, http_port: int | None = None, log_dir: Path | None = None, workers: int = 1
    ) -> None:
        self._release = Path(release)
        self._given_port = http_port
        self._log_dir = log_dir
        self._workers = workers
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        """Start both and wait until they are ready.

        Raises ValueError for a port in use, no Java or a broken release, ServiceError when one does not start.
        """
        read_manifest(self._release)
        if self._given_port is not None:
            check_port(self._given_port, "another http_port", "0.0.0.0")
        http_port, self.grpc_port, self.predictor_port = free_ports(3)
        self.http_port = self._given_port or http_port
        self._folder = tempfile.TemporaryDirectory(prefix="shortlist-")
        try:
            self._start_all(Path(self._folder.name))
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    @property
    def url(self) -> str:
        """V1 REST of the transformer."""
        return f"http://127.0.0.1:{self.http_port}/v1/models/{_NAME}:predict"

    @property
    def predictor_url(self) -> str | None:
        """V1 REST of the predictor; None for a release without a ranker."""
        return f"http://127.0.0.1:{self.predictor_port}/v1/models/{_NAME}:predict" if self._ranks else None

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """The prediction for one question, like `{"user_id": 7, "k": 10}`. Raises ServiceError with the refusal."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=_ASK_SECONDS)
        try:
            body = json.dumps({"instances": [question]})
            connection.request("POST", f"/v1/models/{_NAME}:predict", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            content = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ServiceError(f"the transformer did not answer: {error}\n{self._log_tail('transformer')}") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise ServiceError(str(content.get("error", content)), answer.status)
        prediction: dict[str, Any] = content["predictions"][0]
        return prediction

    def wait(self) -> None:
        """Until one of them ends by itself, which neither should: raises ServiceError then."""
        while True:
            for name in self._children:
                self._check_alive(name)
            time.sleep(0.2)

    @property
    def _ranks(self) -> bool:
        return (self._release / "ranking").is_dir()

    def _start_all(self, folder: Path) -> None:
        self._logs = self._log_dir or folder
        self._logs.mkdir(parents=True, exist_ok=True)
        transformer = [
            *("--http_port", str(self.http_port), "--grpc_port", str(self.grpc_port)),
            *("--model_name", _NAME, "--workers", str(self._workers)),
        ]
        if self._ranks:
            ready = folder / "predictor.ready"
            self._start("predictor", ["--port", str(self.predictor_port), "--ready_file", str(ready)])
            transformer += ["--predictor_host", f"127.0.0.1:{self.predictor_port}"]
        self._start("transformer", transformer)
        self._wait_for("transformer", self._transformer_is_ready)
        if self._ranks:
            self._wait_for("predictor", ready.exists)

    def _start(self, name: str, arguments: list[str]) -> None:
        library = str(Path(__file__).parents[1])
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, [library, os.environ.get("PYTHONPATH")])),
            "OMP_NUM_THREADS": "1",
        }
        with (self._logs / f"{name}.log").open("wb") as log:
            # Not in our process group: Ctrl-C is ours alone to handle. The pipe ends it when we are killed.
            self._children[name] = subprocess.Popen(
                [
                    *(sys.executable, "-m", f"serving.{name}", "--end_with_stdin"),
                    *("--release", str(self._release), *arguments),
                ],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _wait_for(self, name: str, ready: Any) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not ready():
            for child in self._children:
                self._check_alive(child)
            if time.monotonic() > deadline:
                raise ServiceError(f"the {name} was not ready after {_START_SECONDS:g} s\n{self._log_tail(name)}")
            time.sleep(0.05)

    def _transformer_is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=2)
        try:
            connection.request("GET", f"/v2/models/{_NAME}/ready")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _check_alive(self, name: str) -> None:
        code = self._children[name].poll()
        if code == 2:  # what the user must mend; its message says all
            raise ValueError(self._log_tail(name).strip())
        if code is not None:
            raise ServiceError(f"the {name} ended with code {code}\n{self._log_tail(name)}")

    def _log_tail(self, name: str) -> str:
        log = self._logs / f"{name}.log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-20:]) if log.exists() else ""

    def _stop(self) -> None:
        try:
            for child in self._children.values():
                child.terminate()
            for child in self._children.values():
                child.wait(_STOP_SECONDS)
        finally:
            for child in self._children.values():
                if child.poll() is None:
                    os.killpg(child.pid, signal.SIGKILL)
                child.wait()
                assert child.stdin is not None
                child.stdin.close()
            self._children.clear()
            self._folder.cleanup()
