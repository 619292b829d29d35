"""Checkpoints of a training: folders that are written atomically, of which the last ones and the best are kept.

    checkpoints.json      {"last": "step-00001200", "best": "step-00000800"}, replaced atomically
    step-00001200/        model.safetensors (weights), state.pt (optimiser and random numbers), progress.json

If the process is killed at any moment, the checkpoints named in `checkpoints.json` are intact. Drafts and folders of
older steps are removed by the next save.
"""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

Kind = Literal["last", "best"]
_POINTER = "checkpoints.json"


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training."""

    weights: dict[str, Tensor]
    state: dict[str, Any]
    """The states of the optimiser and of the random number generators; tensors and numbers only."""
    progress: dict[str, Any]
    """The progress of the training, as plain JSON."""


def save(folder: Path, name: str, checkpoint: Checkpoint, *, best: bool, keep: int = 1) -> None:
    """Write a checkpoint as the last one, with `best` also as the best one; of the others, only the last `keep` stay.

    `name` must start with `step-`, come after the names of the kept checkpoints in alphabetical order, and differ from
    them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    named = _pointer(folder)
    assert name.startswith("step-"), name
    assert name not in named.values(), name
    draft = folder / f"{name}.draft"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    weights = {key: weight.detach().cpu().contiguous() for key, weight in checkpoint.weights.items()}
    save_file(weights, draft / "model.safetensors")
    torch.save(checkpoint.state, draft / "state.pt")
    (draft / "progress.json").write_text(json.dumps(checkpoint.progress, indent=1))
    for path in draft.iterdir():
        _sync(path)
    shutil.rmtree(folder / name, ignore_errors=True)  # left by a run that was killed before it updated the pointer
    draft.rename(folder / name)
    named["last"] = name
    if best:
        named["best"] = name
    _replace(folder / _POINTER, json.dumps(named, sort_keys=True))
    names = sorted(path.name for path in folder.glob("step-*"))
    recent = [one for one in names if not one.endswith(".draft")][-keep:]
    for one in {*names} - {*named.values(), *recent}:
        shutil.rmtree(folder / one)


def read(folder: Path, kind: Kind) -> Checkpoint | None:
    """The last or the best checkpoint, or None if there is none. Raises ValueError when it cannot be read."""
    name = _pointer(folder).get(kind)
    if name is None:
        return None
    try:
        return Checkpoint(
            load_file(folder / name / "model.safetensors"),
            torch.load(folder / name / "state.pt", map_location="cpu", weights_only=True),
            json.loads((folder / name / "progress.json").read_text()),
        )
    except (OSError, ValueError, RuntimeError, EOFError, SafetensorError) as error:
        raise ValueError(f"{folder / name}: this checkpoint cannot be read ({error}); delete {folder}") from error


def best_weights(folder: Path) -> dict[str, Tensor]:
    """The weights of the best checkpoint. Raises ValueError when there is none."""
    name = _pointer(folder).get("best")
    if name is None:
        raise ValueError(f"{folder}: has no finished checkpoint; train first")
    weights: dict[str, Tensor] = load_file(folder / name / "model.safetensors")
    return weights


def clear(folder: Path) -> None:
    """Remove all checkpoints of a folder, and nothing else."""
    (folder / _POINTER).unlink(missing_ok=True)
    for path in folder.glob("step-*"):
        shutil.rmtree(path)


def _pointer(folder: Path) -> dict[str, str]:
    path = folder / _POINTER
    if not path.exists():
        return {}
    try:
        named: dict[str, str] = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path}: cannot be read ({error}); delete {folder}") from error
    return named


def _replace(path: Path, text: str) -> None:
    draft = path.with_suffix(".draft")
    draft.write_text(text)
    _sync(draft)
    draft.replace(path)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
