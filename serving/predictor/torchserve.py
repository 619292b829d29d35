"""TorchServe as a child process: its model store, its configuration, its start and its end."""

import contextlib
import json
import os
import re
import shutil
import signal
import string
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from serving.ports import free_ports
from shortlist.names import below

_START_SECONDS = 120.0
_STOP_SECONDS = 10.0
_CONFIG = Path(__file__).with_name("config.properties")
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HANDLER = "serving.predictor.handler"


@dataclass(frozen=True)
class Options:
    """What may differ from one predictor to the other."""

    host: str = "127.0.0.1"
    port: int = 8085
    model_name: str = "shortlist"
    workers: int = 1
    """Processes that score."""

    def __post_init__(self) -> None:
        """Raises ValueError for a model's name that cannot stand in a path, a URL and TorchServe's configuration."""
        if not _MODEL_NAME.fullmatch(self.model_name):
            raise ValueError(f"--model_name {self.model_name!r}: use letters, digits, '-', '_' and '.', like my-shop")


class PredictorError(RuntimeError):
    """TorchServe did not start, or ended by itself; the message holds what it said."""


class TorchServe:
    """Serves releases from `__enter__` to `__exit__`, which leave no process and no file behind."""

    def __init__(self, releases: Sequence[Path], options: Options) -> None:
        self._releases = releases
        self._options = options
        self._said: deque[str] = deque(maxlen=80)
        self._ready = False

    def __enter__(self) -> Self:
        """Returns when the releases are loaded. Raises ValueError without Java, PredictorError when it fails."""
        java_home = os.environ.get("JAVA_HOME")
        if shutil.which(f"{java_home}/bin/java" if java_home else "java") is None:
            raise ValueError(
                f"there is no java {'in JAVA_HOME ' + java_home if java_home else 'on the PATH'}, and TorchServe runs "
                "on it; install Java 17 (Debian: apt install openjdk-17-jre-headless) or set JAVA_HOME"
            )
        self._folder = tempfile.TemporaryDirectory(prefix="predictor-")
        try:
            self._start(Path(self._folder.name))
            self._wait_until_ready()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def wait(self) -> None:
        """Until it ends by itself, which it should not: raises PredictorError then."""
        self._process.wait()
        raise PredictorError(f"TorchServe ended by itself\n{self._tail()}".strip())

    def _start(self, folder: Path) -> None:
        ports = ("management_port", "metrics_port", "grpc_inference_port", "grpc_management_port")
        self._ports = dict(zip(ports, free_ports(len(ports)), strict=True))
        name = self._options.model_name
        model = below(folder / "models", name)
        (model / "MAR-INF").mkdir(parents=True)
        manifest = {
            "createdOn": "",
            "runtime": "python",
            "model": {"modelName": name, "handler": _HANDLER, "modelVersion": "1.0"},
            "archiverVersion": "0.12.0",
        }
        (model / "MAR-INF/MANIFEST.json").write_text(json.dumps(manifest))
        for number, release in enumerate(self._releases):
            (model / f"release-{number}").symlink_to(release.absolute())
        config, temp = folder / "config.properties", folder / "temp"
        temp.mkdir()
        values = {**vars(self._options), **self._ports, "model_store": model.parent, "this_file": config}
        config.write_text(string.Template(_CONFIG.read_text()).substitute(values))
        library = str(Path(__file__).parents[2])
        environment = os.environ | {
            # Its pid file and sockets go there, or a second server would find them.
            "TEMP": str(temp),
            "TMPDIR": str(temp),
            "PYTHONPATH": os.pathsep.join(filter(None, [library, os.environ.get("PYTHONPATH")])),
            "OMP_NUM_THREADS": "1",
            "ORT_DISABLE_TELEMETRY": "1",
        }
        # In its own process group: a signal to the wrapper would leave Java running.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ts.model_server", "--start", "--foreground", "--ncs", "--ts-config", str(config)],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        """Keep what it says; once it is ready, what it says is a problem and goes on to whoever reads our log."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._said.append(line)
            if self._ready:
                sys.stderr.write(line)
                sys.stderr.flush()

    def _wait_until_ready(self) -> None:
        url = f"http://127.0.0.1:{self._ports['management_port']}/models/{self._options.model_name}"
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise PredictorError(f"TorchServe ended before it was ready\n{self._tail()}")
            if any("Load model failed" in line for line in list(self._said)):
                time.sleep(0.5)  # what the worker said last may still be on its way
                raise PredictorError(f"TorchServe's worker did not load the release\n{self._why()}")
            if _workers_ready(url):
                self._said.clear()
                self._ready = True
                return
            time.sleep(0.1)
        raise PredictorError(f"TorchServe was not ready after {_START_SECONDS:g} s\n{self._tail()}")

    def _tail(self) -> str:
        return "".join(f"  {line}" for line in self._said).rstrip()

    def _why(self) -> str:
        """The last error that the worker raised, else all that was said."""
        raised = [line.partition("ValueError: ")[2].strip() for line in self._said if "ValueError: " in line]
        return raised[-1] if raised else self._tail()

    def _stop(self) -> None:
        self._ready = False
        if hasattr(self, "_process"):
            _end_group(self._process)
        self._folder.cleanup()


def _workers_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            models = json.load(answer)
    except (OSError, ValueError):
        return False
    workers = [worker["status"] for model in models for worker in model["workers"]]
    return bool(workers) and all(status == "READY" for status in workers)


def _end_group(process: subprocess.Popen[str]) -> None:
    """End a process and all it started: asked first, killed after a while."""
    for number, seconds in ((signal.SIGTERM, _STOP_SECONDS), (signal.SIGKILL, 2.0)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        if _group_ends(process, seconds):
            break
    process.wait()


def _group_ends(process: subprocess.Popen[str], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        process.poll()
        # As process 1 of a container we are the parent of what its parent left; elsewhere nothing may be ours.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-process.pid, os.WNOHANG)
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False
