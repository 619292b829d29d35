"""TorchServe as a child process: model store, configuration, start and stop."""

import http.client
import json
import os
import re
import shutil
import string
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from shortlist.names import below
from shortlist.serving import loopback
from shortlist.serving.groups import end_group
from shortlist.serving.ports import free_ports

_START_SECONDS = 120.0
_STOP_SECONDS = 10.0
_CONFIG = Path(__file__).with_name("config.properties")
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HANDLER = "shortlist.serving.predictor.handler"
_JAVA_ERROR = re.compile(r"(?:\w+\.)*\w*(?:Error|Exception)\b: .*")
_PLAIN = re.compile(r"[A-Za-z0-9/._+@~-]{1,60}")


@dataclass(frozen=True)
class Options:
    """The options of a predictor."""

    host: str = "127.0.0.1"
    port: int = 8085
    model_name: str = "shortlist"
    workers: int = 1
    """The number of scoring processes."""

    def __post_init__(self) -> None:
        """Raises ValueError for a model name that is not valid in a path, a URL and TorchServe's configuration."""
        if not _MODEL_NAME.fullmatch(self.model_name):
            raise ValueError(f"--model_name {self.model_name!r}: use letters, digits, '-', '_' and '.', like my-shop")


class PredictorError(RuntimeError):
    """TorchServe did not start, or ended by itself; the message contains its output."""


class TorchServe:
    """Serves releases from `__enter__` to `__exit__`, and leaves no process and no file behind."""

    def __init__(self, releases: Sequence[Path], options: Options) -> None:
        self._releases = releases
        self._options = options
        self._output: deque[str] = deque(maxlen=80)
        self._ready = False

    def __enter__(self) -> Self:
        """Returns when the releases are loaded. Raises ValueError without Java, PredictorError if TorchServe fails."""
        java_home = os.environ.get("JAVA_HOME")
        if shutil.which(f"{java_home}/bin/java" if java_home else "java") is None:
            raise ValueError(
                f"there is no java {'in JAVA_HOME ' + java_home if java_home else 'on the PATH'}, which TorchServe "
                "needs; install Java 17 (Debian: apt install openjdk-17-jre-headless) or set JAVA_HOME"
            )
        self._folder = tempfile.TemporaryDirectory(prefix="predictor-", dir=_plain_folder())
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
        """Wait until the process ends by itself, which is an error. Raises PredictorError."""
        self._process.wait()
        raise self._failed("TorchServe ended by itself")

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
            # The folder of its pid file and sockets, so that two servers do not share them.
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
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        """Keep the output; once the server is ready, output means a problem and is written to our log."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._output.append(line)
            if self._ready:
                sys.stderr.write(line)
                sys.stderr.flush()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                self._listener.join(1.0)
                raise self._failed("TorchServe ended before it was ready")
            if any("Load model failed" in line for line in list(self._output)):
                time.sleep(0.5)  # the last output of the worker may arrive late
                raise self._failed("TorchServe's worker did not load the release")
            if _workers_ready(self._ports["management_port"], self._options.model_name):
                self._output.clear()
                self._ready = True
                return
            time.sleep(0.1)
        raise self._failed(f"TorchServe was not ready after {_START_SECONDS:g} s")

    def _failed(self, what: str) -> PredictorError:
        """The reason on the first line, and below it the output of TorchServe."""
        output = list(self._output)
        lines = [f"{what}: {_reason(output)}".removesuffix(": ")]
        if output:
            lines += ["Output of TorchServe:", *(f"  {line.rstrip()}" for line in output)]
        return PredictorError("\n".join(lines))

    def _stop(self) -> None:
        self._ready = False
        if hasattr(self, "_process"):
            end_group(self._process, _STOP_SECONDS)
        self._folder.cleanup()


def _workers_ready(port: int, model_name: str) -> bool:
    try:
        models = json.loads(loopback.get(port, f"/models/{model_name}")[1])
        workers = [worker["status"] for model in models for worker in model["workers"]]
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):  # it is still starting
        return False
    return bool(workers) and all(status == "READY" for status in workers)


def _reason(output: Sequence[str]) -> str:
    """The error in the output of TorchServe: the last ValueError of its worker, or else the first error of Java."""
    raised = [line.partition("ValueError: ")[2].strip() for line in output if "ValueError: " in line]
    errors = [found[0].strip() for line in output if (found := _JAVA_ERROR.search(line))]
    return raised[-1] if raised else errors[0] if errors else ""


def _plain_folder() -> str:
    """A folder for TorchServe's temporary files: its start script splits the options of Java at spaces, Java reads its
    configuration as Latin-1, and the path of a socket has at most 107 bytes.

    Raises ValueError if there is no such folder.
    """
    temp = tempfile.gettempdir()
    for folder in (temp, "/tmp", "/var/tmp", "/dev/shm"):
        if _PLAIN.fullmatch(folder) and os.access(folder, os.W_OK | os.X_OK):
            return folder
    raise ValueError(
        f"the folder of temporary files is {temp!r}, but TorchServe needs a path of at most 60 ASCII letters and "
        "digits without spaces; set TMPDIR to such a folder, like /tmp"
    )
