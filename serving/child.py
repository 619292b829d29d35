"""One service as a child process, with a log of its own."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from shortlist.serving.groups import end_group

_STOP_SECONDS = 15.0
_SHOWN_LINES = 20


class ServiceError(RuntimeError):
    """A service did not start, or refused a query; the message says why."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        """The HTTP status of a refusal."""


def library_environment() -> dict[str, str]:
    """The environment, in which Python finds this very code first, wherever a child process starts."""
    library = str(Path(__file__).parents[1])
    paths = filter(None, [library, os.environ.get("PYTHONPATH")])
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}


class Child:
    """`python -m shortlist.serving.<name>`, started at once; `stop` leaves nothing of it."""

    def __init__(self, name: str, arguments: Sequence[str], log: Path) -> None:
        self.name = name
        self._log = log
        with log.open("wb") as output:
            # Not in our process group: Ctrl-C is ours alone to handle. The pipe ends it when we are killed.
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
        """Also of its process group."""
        return self._process.pid

    @property
    def log(self) -> str:
        """What it has said."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def check_alive(self) -> None:
        """Raises ValueError when it ended for what the user must change, ServiceError when it ended otherwise."""
        code = self._process.poll()
        if code is None:
            return
        lines = self.log.splitlines()
        own = [at for at, line in enumerate(lines) if line.startswith(f"{self.name}: ")]
        if code == 2 and own:  # its message says all
            raise ValueError("\n".join(lines[own[-1] :]))
        if not own:
            raise self.error(f"ended with code {code}")
        # The reason first: below it, or in what it said before, a library may have sounded content.
        reason = lines[own[-1]].removeprefix(f"{self.name}: ")
        said = lines[own[-1] + 1 :] or lines[: own[-1]][-_SHOWN_LINES:]
        raise ServiceError("\n".join([f"the {self.name} ended with code {code}: {reason}", *said]))

    def error(self, what: str) -> ServiceError:
        """An error that says `what`, and below it the end of the log."""
        lines = self.log.splitlines()[-_SHOWN_LINES:]
        return ServiceError("\n".join([f"the {self.name} {what}", *(["the end of its log:"] if lines else []), *lines]))

    def terminate(self) -> None:
        """Ask it to end, without waiting."""
        self._process.terminate()

    def stop(self) -> None:
        """End it and what it has started."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            end_group(self._process, 1.0)
            assert self._process.stdin is not None
            self._process.stdin.close()
