"""Transformer and predictor of one release on this machine, for trials and tests."""

import contextlib
import http.client
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from shortlist.release.bundle import read_manifest
from shortlist.serving import loopback
from shortlist.serving.child import Child, ServiceError
from shortlist.serving.ports import check_port, free_ports
from shortlist.serving.target import Target, Targets

__all__ = ["LocalService", "ServiceError"]

_START_SECONDS = 120.0
_ASK_SECONDS = 30.0
_NAME = "shortlist"


class LocalService:
    """Both services of a release's folder, running from `__enter__` to `__exit__`.

    They also end when this process is killed. Free ports are chosen where none are given.
    """

    def __init__(
        self,
        release: str | Path,
        *,
        http_port: int | None = None,
        log_dir: Path | None = None,
        workers: int = 1,
        availability: str | None = None,
    ) -> None:
        """`availability` replaces the path of the release's availability file."""
        self._release = Path(release)
        self._given_port = http_port
        self._log_dir = log_dir
        self._workers = workers
        self._availability = availability
        self._transformer: Child | None = None
        self._predictor: Child | None = None

    def __enter__(self) -> Self:
        """Start both services and wait until they are ready.

        Raises ValueError for a port in use, missing Java or a broken release, ServiceError when a service does not
        start.
        """
        self.release = read_manifest(self._release).name
        """The name of the release in service."""
        if self._given_port is not None:
            check_port(self._given_port, "http_port", "0.0.0.0")
        http_port, self.grpc_port = free_ports(2)
        self.http_port = self._given_port or http_port
        self._scratch = tempfile.TemporaryDirectory(prefix="shortlist-")
        self._folder = Path(self._scratch.name)
        self._logs = self._log_dir or self._folder
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    @property
    def url(self) -> str:
        """V1 REST address of the transformer."""
        return f"http://127.0.0.1:{self.http_port}/v1/models/{_NAME}:predict"

    @property
    def predictor_url(self) -> str | None:
        """V1 REST address of the predictor; None for a release without a ranker."""
        host = self._target.predictor_host
        return f"http://{host}/v1/models/{_NAME}:predict" if host else None

    def ask(self, query: dict[str, Any]) -> dict[str, Any]:
        """The prediction for one query, like `{"user_id": 7, "k": 10}`. Raises ServiceError with the refusal."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=_ASK_SECONDS)
        try:
            body = json.dumps({"instances": [query]})
            connection.request("POST", f"/v1/models/{_NAME}:predict", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            content = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            assert self._transformer is not None
            raise self._transformer.error(f"did not answer: {error}") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise ServiceError(str(content.get("error", content)), answer.status)
        prediction: dict[str, Any] = content["predictions"][0]
        return prediction

    @property
    def pids(self) -> dict[str, int]:
        """Service -> id of its main process."""
        children = (self._transformer, self._predictor)
        return {child.name: child.pid for child in children if child is not None}

    @property
    def logs(self) -> dict[str, str]:
        """Service -> content of its log, which is empty unless there is a problem."""
        children = (self._transformer, self._predictor)
        return {child.name: child.log for child in children if child is not None}

    def check_alive(self) -> None:
        """Raises ServiceError when a service has ended by itself."""
        for child in (self._transformer, self._predictor):
            if child is not None:
                child.check_alive()

    def wait(self) -> None:
        """Wait until a service ends by itself, which is an error: raises ServiceError then."""
        while True:
            self.check_alive()
            time.sleep(0.2)

    def switch_to(self, release: Path) -> None:
        """Switch to another release: no request fails, and each is retrieved and ranked by the same release.

        The new predictor is started next to the old one; then the transformer switches between two requests. Raises
        ValueError or ServiceError when the new release cannot be served; the old one then stays in service.
        """
        name, before = read_manifest(release).name, self._target
        predictor, target = self._start_predictor(release, before.number + 1)
        try:
            self._wait_for_predictor(predictor, target)
            self._set_target(target)
        except BaseException:
            if self._target is target:  # some processes of the transformer may have switched
                with contextlib.suppress(ServiceError, ValueError):
                    self._set_target(before.model_copy(update={"number": target.number + 1}))
            if predictor is not None:
                predictor.stop()
            raise
        old, self._predictor, self.release = self._predictor, predictor, name
        if old is not None:
            old.stop()

    def _start(self) -> None:
        self._logs.mkdir(parents=True, exist_ok=True)
        self._targets = Targets(self._folder / "targets")
        self._predictor, self._target = self._start_predictor(self._release, 0)
        self._targets.set(self._target)
        arguments = [
            *("--release", str(self._release), "--targets", str(self._folder / "targets")),
            *("--http_port", str(self.http_port), "--grpc_port", str(self.grpc_port)),
            *("--model_name", _NAME, "--workers", str(self._workers)),
            *(("--availability", self._availability) if self._availability else ()),
        ]
        self._transformer = Child("transformer", arguments, self._logs / "transformer.log")
        self._wait_for(self._transformer, self._transformer_is_ready)
        self._wait_for_predictor(self._predictor, self._target)

    def _start_predictor(self, release: Path, number: int) -> tuple[Child | None, Target]:
        """The predictor of a release if it has a ranker, and the target with its address."""
        if not (release / "ranking").is_dir():
            return None, Target(number=number, folder=release.absolute(), predictor_host=None)
        (port,) = free_ports(1)
        target = Target(number=number, folder=release.absolute(), predictor_host=f"127.0.0.1:{port}")
        arguments = ["--release", str(release), "--port", str(port), "--ready_file", str(self._ready_file(target))]
        log = "predictor.log" if number == 0 else f"predictor-{number}.log"
        return Child("predictor", arguments, self._logs / log), target

    def _wait_for_predictor(self, predictor: Child | None, target: Target) -> None:
        if predictor is not None:
            self._wait_for(predictor, self._ready_file(target).exists)

    def _ready_file(self, target: Target) -> Path:
        return self._folder / f"predictor-{target.number}.ready"

    def _set_target(self, target: Target) -> None:
        """Switch every process of the transformer to the target. Raises ServiceError when one fails."""
        assert self._transformer is not None
        self._targets.set(target)
        self._target = target
        self._wait_for(self._transformer, lambda: all(one.number == target.number for one in self._targets.reports()))
        errors = [one.error for one in self._targets.reports() if one.error is not None]
        if errors:
            raise ServiceError(errors[0])

    def _wait_for(self, child: Child, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not ready():
            child.check_alive()
            self.check_alive()
            if time.monotonic() > deadline:
                raise child.error(f"was not ready after {_START_SECONDS:g} s")
            time.sleep(0.05)

    def _transformer_is_ready(self) -> bool:
        try:
            return loopback.get(self.http_port, f"/v2/models/{_NAME}/ready")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def _stop(self) -> None:
        children = [child for child in (self._transformer, self._predictor) if child is not None]
        for child in children:
            child.terminate()
        for child in children:
            child.stop()
        self._transformer = self._predictor = None
        self._scratch.cleanup()
