"""A service as a child process with its own log."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from shortlist.serving.groups import end_group

_STOP_SECONDS = 15.0
_SHOWN_LINES = 20


class ServiceError(RuntimeError):
    """A service did not start or refused a query; the message has the reason."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        """The HTTP status of the refusal."""


def library_environment() -> dict[str, str]:
    """The environment for a child process, in which Python imports this installation first."""
    library = str(Path(__file__).parents[2])
    paths = filter(None, [library, os.environ.get("PYTHONPATH")])
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}


class Child:
    """Runs `python -m shortlist.serving.<name>`; `stop` ends it and its children."""

    def __init__(self, name: str, arguments: Sequence[str], log: Path) -> None:
        self.name = name
        self._log = log
        with log.open("wb") as output:
            # A separate process group: the parent handles Ctrl-C. The pipe ends the child if the parent is killed.
            self._process = subprocess.Popen(
                [sys.executable, "-m", f"shortlist.serving.{name}", "--end_with_stdin", *arguments],
                env=library_environment() | {"OMP_NUM_THREADS": "1"},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id, which is also the id of its process group."""
        return self._process.pid

    @property
    def log(self) -> str:
        """The content of the log."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def check_alive(self) -> None:
        """Raises ValueError if it ended with an error that the user can fix, ServiceError if it ended otherwise."""
        code = self._process.poll()
        if code is None:
            return
        lines = self.log.splitlines()
        own = [at for at, line in enumerate(lines) if line.startswith(f"{self.name}: ")]
        if code == 2 and own:  # the message is complete
            raise ValueError("\n".join(lines[own[-1] :]))
        if not own:
            raise self.error(f"ended with code {code}")
        # The reason comes first, since other log lines may contain messages of success.
        reason = lines[own[-1]].removeprefix(f"{self.name}: ")
        others = lines[own[-1] + 1 :] or lines[: own[-1]][-_SHOWN_LINES:]
        raise ServiceError("\n".join([f"the {self.name} ended with code {code}: {reason}", *others]))

    def error(self, what: str) -> ServiceError:
        """An error with the message `what` and the end of the log."""
        lines = self.log.splitlines()[-_SHOWN_LINES:]
        return ServiceError("\n".join([f"the {self.name} {what}", *(["the end of its log:"] if lines else []), *lines]))

    def terminate(self) -> None:
        """Send SIGTERM without waiting for the end."""
        self._process.terminate()

    def stop(self) -> None:
        """End the process and its children."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            end_group(self._process, 1.0)
            assert self._process.stdin is not None
            self._process.stdin.close()
