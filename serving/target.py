"""The target release of a transformer's processes and their progress, as small files in one folder.

The parent of the transformer writes `target.json`. Each process of the transformer loads that release, switches to it
between two requests, and reports this in `<pid>.json`. Both files are replaced atomically.
"""

import contextlib
import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict

_TARGET = "target.json"


class Target(BaseModel):
    """The release to serve."""

    model_config = ConfigDict(frozen=True)

    number: int
    """Sequence number of the target."""
    folder: Path
    """The folder of the verified release."""
    predictor_host: str | None
    """HOST:PORT of the predictor; None for a release without a ranker."""


class Progress(BaseModel):
    """The progress of one process of the transformer."""

    number: int
    """The target that the process has switched to or tried; no request is being answered from an earlier one."""
    error: str | None = None
    """Why it could not switch; it then still serves the previous target."""


class Targets:
    """The folder of one transformer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def set(self, target: Target) -> None:
        """Set the target that the processes switch to."""
        self._folder.mkdir(exist_ok=True)
        self._place(_TARGET, target)

    def get(self) -> Target:
        """The current target."""
        return Target.model_validate_json((self._folder / _TARGET).read_bytes())

    def report(self, progress: Progress) -> None:
        """Report the progress of this process. Call it before the first `get` with a number that no target has."""
        self._place(f"{os.getpid()}.json", progress)

    def reports(self) -> list[Progress]:
        """The progress of all running processes."""
        found = []
        for path in self._folder.glob("*.json"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
                if path.name != _TARGET:
                    os.kill(int(path.stem), 0)
                    found.append(Progress.model_validate_json(path.read_bytes()))
        return found

    def _place(self, name: str, content: BaseModel) -> None:
        aside = self._folder / f".{name}.{os.getpid()}"
        aside.write_text(content.model_dump_json())
        aside.replace(self._folder / name)
