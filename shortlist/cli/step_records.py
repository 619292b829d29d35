"""What a run folder knows about its steps: which are complete, with which inputs, and the files that they wrote.

    steps/prepare.json          the step's inputs, and its outputs once it is complete
    shortlist-steps/prepare/    the files that it wrote

A record is replaced atomically, and has outputs only after the step succeeded. A step whose files are missing, or have
other sizes than then, is not complete.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from shortlist.pipelines.recipe_reads import STEPS
from shortlist.recipe import Step

OUTPUTS = "shortlist-steps"
"""The folder of the outputs of all steps; kfp puts one folder per step into it."""
_RECORDS = "steps"
_RESUMABLE: dict[Step, str] = {"train_retrieval": "towers"}
"""The output that a training continues from if it was interrupted."""


class Inputs(BaseModel):
    """Everything that decides what a step writes."""

    after: str
    """The key of the step before, whose outputs it reads directly or through other steps."""
    code: str
    """The version of the code."""
    recipe: dict[str, Any]
    """The fields of the recipe that this step is the first to read."""
    parameters: dict[str, Any]
    """What else it reads: the version of the sources, the live release, who overrules the gate."""


class StepState(BaseModel):
    """The state of a step."""

    key: str
    """The hash of the inputs."""
    inputs: Inputs
    outputs: dict[str, Any] | None = None
    """The outputs as `step_cache` writes them; None as long as the step is not complete."""
    files: dict[str, int] = {}
    """The size in bytes of each file of the step."""


class StepRecords:
    """The records of one run."""

    def __init__(self, run: Path) -> None:
        self.run = run

    def create(self) -> None:
        """Make the folder of the records."""
        (self.run / _RECORDS).mkdir(exist_ok=True)

    @property
    def exist(self) -> bool:
        """False for a run of an older version, which has no records."""
        return (self.run / _RECORDS).is_dir()

    def folder(self, step: Step) -> Path:
        """The folder of a step's outputs."""
        return self.run / OUTPUTS / step.replace("_", "-")

    def read(self, step: Step) -> StepState | None:
        """The record of a step; None if it has not started."""
        path = self._path(step)
        return StepState.model_validate_json(path.read_text(encoding="utf-8")) if path.exists() else None

    def is_complete(self, step: Step) -> bool:
        """Whether a step has succeeded and all its files are still there."""
        record = self.read(step)
        return record is not None and record.outputs is not None and _sizes(self.folder(step)) == record.files

    def start(self, step: Step, record: StepState) -> None:
        """Forget this step and all later ones, with their files, and note that it starts.

        The checkpoints of a training that was interrupted with the same inputs are kept.
        """
        before = self.read(step)
        # A new survey invalidates nothing by itself: ingest compares what it found.
        later = STEPS[STEPS.index(step) :] if step != "survey" else (step,)
        for one in later:
            self._path(one).unlink(missing_ok=True)  # all of them before the first file is removed
        for one in later:
            resumed = one == step and before is not None and before.outputs is None and before.key == record.key
            _clear(self.folder(one), keep=_RESUMABLE.get(one) if resumed else None)
        self._write(step, record)

    def complete(self, step: Step, outputs: dict[str, Any]) -> None:
        """Note that a step has succeeded."""
        record = self.read(step)
        assert record is not None, f"{step} did not start"
        update = {"outputs": outputs, "files": _sizes(self.folder(step))}
        self._write(step, record.model_copy(update=update))

    def take_over(self, source: "StepRecords") -> None:
        """Link the complete steps of another run that are not about its own release.

        Hard links need no space, and stay when the other run is deleted. A step that runs again removes its links
        before it writes. Where the file system has no hard links, the files are copied.
        """
        for step in STEPS[STEPS.index("ingest") : STEPS.index("publish")]:
            if not source.is_complete(step):
                return
            shutil.copytree(source.folder(step), self.folder(step), copy_function=_link_or_copy)
            shutil.copyfile(source._path(step), self._path(step))

    def _path(self, step: Step) -> Path:
        return self.run / _RECORDS / f"{step}.json"

    def _write(self, step: Step, record: StepState) -> None:
        path = self._path(step)
        draft = path.with_suffix(".draft")
        with draft.open("w", encoding="utf-8") as file:
            file.write(json.dumps(record.model_dump(), indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)


def _sizes(folder: Path) -> dict[str, int]:
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in paths}


def _clear(folder: Path, keep: str | None) -> None:
    if keep is None or not (folder / keep).is_dir():
        shutil.rmtree(folder, ignore_errors=not folder.exists())
        return
    for path in folder.iterdir():
        if path.name != keep:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _link_or_copy(source: str, to: str) -> None:
    try:
        os.link(source, to)
    except OSError:
        shutil.copy2(source, to)
