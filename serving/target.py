"""What the processes of a transformer are to answer from, and how far each of them is: small files in one folder.

Whoever started the transformer writes `target.json`; each of its processes loads what it says, goes over to it between
two requests, and says so in `<pid>.json`. Both are replaced as a whole.
"""

import contextlib
import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict

_TARGET = "target.json"


class Target(BaseModel):
    """The release to answer from."""

    model_config = ConfigDict(frozen=True)

    number: int
    """Counts the targets of one transformer."""
    folder: Path
    """The verified release."""
    predictor_host: str | None
    """HOST:PORT of its ranker; None for a release without one."""


class Progress(BaseModel):
    """Of one process of the transformer."""

    number: int
    """The target that it has gone over to, or tried; no request is being answered from an earlier one."""
    error: str | None = None
    """Why it could not; it answers from the one before."""


class Targets:
    """The folder of one transformer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def set(self, target: Target) -> None:
        """For the processes to go over to."""
        self._folder.mkdir(exist_ok=True)
        self._place(_TARGET, target)

    def get(self) -> Target:
        """What was set last."""
        return Target.model_validate_json((self._folder / _TARGET).read_bytes())

    def report(self, progress: Progress) -> None:
        """Say how far this process is. To be called before the first `get`, with a number that no target has."""
        self._place(f"{os.getpid()}.json", progress)

    def reports(self) -> list[Progress]:
        """Of all processes that live."""
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
