"""The training loop that retrieval and ranking share.

A `Task` defines one step; `fit` does the rest: a dry run, mixed precision, gradient accumulation, the learning rate
schedule, gradient clipping, checkpoints and early stopping. Batches are a function of (epoch, step), and all other
randomness comes from torch's generator, whose state is saved. A killed training therefore resumes at the exact sample;
on a CPU, it ends with the same weights as an uninterrupted one.
"""

import copy
import dataclasses
import json
import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from shortlist.progress import Progress, say, say_epoch
from shortlist.recipe import Training
from shortlist.step_result import peak_memory_mb
from shortlist.training import checkpoints
from shortlist.training.checkpoints import Checkpoint
from shortlist.training.optimiser import Optimiser
from shortlist.training.processes import ALONE, Processes
from shortlist.training.schedule import learning_rate_at

_CHECK_EVERY = 20
"""Steps between checks of the loss; on a GPU, each check waits for its queue."""


class TrainingError(ValueError):
    """Training cannot continue; the message says what to change in the recipe."""


class Task(Protocol):
    """A model and its training steps."""

    @property
    def model(self) -> nn.Module: ...

    @property
    def metric(self) -> str | None:
        """The metric from `validate` that chooses the best epoch, higher is better; None chooses the last epoch."""

    def num_batches(self, epoch: int) -> int: ...

    def loss(self, epoch: int, step: int) -> tuple[Tensor, int]:
        """The mean loss of batch `step` and the number of its examples.

        With several processes, the loss is the part of this process, and the number is that of all processes. The batch
        is a function of (epoch, step); other randomness must come from torch. Tensors are on the model's device.
        """

    def validate(self) -> dict[str, float]:
        """The metrics of the current model; called in eval mode and without gradients."""


@dataclass(frozen=True)
class FitResult:
    """The result of a training. The task's model has the best weights afterwards."""

    epochs: list[dict[str, float]]
    """One row per epoch: epoch (from 1), loss, learning_rate, seconds, and every validation metric."""
    best_epoch: int
    best_metric: float
    examples_per_second: float
    peak_memory_mb: float
    """The peak memory of the GPU if one is used, otherwise of the process."""
    stopped_early: bool


@dataclass
class _Progress:
    """The progress of a training; saved with each checkpoint."""

    identity: str
    epoch: int = 0
    step: int = 0
    """The next micro-step of the epoch."""
    moves: int = 0
    """The number of optimiser steps so far."""
    loss_sum: float = 0.0
    examples: int = 0
    """The number of examples of the epoch so far."""
    seconds: float = 0.0
    total_examples: int = 0
    total_seconds: float = 0.0
    best_epoch: int = 0
    best_metric: float = 0.0
    epochs: list[dict[str, float]] = field(default_factory=list)


def device_of(training: Training) -> torch.device:
    """The device to train on. Raises TrainingError when a GPU is requested and there is none."""
    available = torch.cuda.is_available()
    if training.device == "cuda" and not available:
        raise TrainingError("training.device is 'cuda' and this machine shows no CUDA device; use 'auto' or 'cpu'")
    return torch.device("cuda" if available and training.device != "cpu" else "cpu")


def fit(
    task: Task,
    training: Training,
    folder: Path,
    *,
    seed: int,
    label: str,
    identity: str = "",
    save_every_seconds: float = 120.0,
    processes: Processes = ALONE,
) -> FitResult:
    """Train `task.model`, keep its last and best checkpoints in `folder`, and resume from a checkpoint found there.

    `identity` identifies the training (hashes of the recipe and of the data); checkpoints with another identity are
    removed. Raises TrainingError when the dry run fails, when the loss is not a number, or when the GPU memory is too
    small. With several `processes`, each one calls this with its part of the task: the first one writes the
    checkpoints, and all end with the same weights.
    """
    if training.threads:
        torch.set_num_threads(training.threads)
    identity = f"{label} {seed} {training.model_dump_json()} {identity}"
    if processes.count > 1:
        identity += f" {processes.count} processes"
    run = _Run(task, training, folder, label, save_every_seconds, processes)
    with _readable_errors(training):
        found = run.read("last")
        if found and found.progress["identity"] != identity:
            say(f"{label}: the checkpoints in {folder} do not match this recipe and data; training from scratch")
            if processes.first:
                checkpoints.clear(folder)
            found = None
        torch.manual_seed(seed)
        run.progress = _Progress(identity)
        finished = found is not None and _Progress(**found.progress).epoch >= training.epochs
        if not finished:
            run.dry_run()
        if found:
            run.restore(found)
            say(f"{label}: resuming after epoch {run.progress.epoch}, step {run.progress.step}")
        early = run.train()
    best = run.read("best")
    assert best is not None, "an epoch ended without a checkpoint"
    task.model.load_state_dict(best.weights)
    done = run.progress
    return FitResult(
        epochs=done.epochs,
        best_epoch=done.best_epoch,
        best_metric=done.best_metric,
        examples_per_second=done.total_examples / max(done.total_seconds, 1e-9),
        peak_memory_mb=_peak_memory_mb(run.device),
        stopped_early=early,
    )


def dry_run(task: Task, training: Training, folder: Path, *, seed: int, label: str) -> None:
    """Run one batch, step, checkpoint and validation; `folder` is left unchanged. Raises TrainingError like `fit`."""
    if training.threads:
        torch.set_num_threads(training.threads)
    run = _Run(task, training, folder, label, 0.0, ALONE)
    with _readable_errors(training):
        torch.manual_seed(seed)
        run.progress = _Progress(label)
        run.dry_run()


class _Run:
    """One training: the task, its optimiser and its progress."""

    progress: _Progress

    def __init__(
        self, task: Task, training: Training, folder: Path, label: str, save_every_seconds: float, processes: Processes
    ) -> None:
        self.task, self.training, self.folder, self.label = task, training, folder, label
        self.processes = processes
        self.device = device_of(training)
        self.save_every_seconds = save_every_seconds
        task.model.to(self.device)
        self.optimiser = Optimiser.of(task.model, training, self.device)
        self.batches = [task.num_batches(epoch) for epoch in range(training.epochs)]
        if min(self.batches) < 1:
            raise TrainingError(f"{label}: there is nothing to train on: an epoch has no batch")
        self.total_moves = sum(-(-count // training.accumulate) for count in self.batches)

    def dry_run(self) -> None:
        """Load, batch, forward, backward, step, save and validate once, then restore the initial state."""
        say(f"{self.label}: dry run of batch, forward, backward, save and validation")
        before = copy.deepcopy(self.capture())
        with _stage("training step"):
            self.task.model.train()
            loss = self._micro_step(0, 0, 1)[0]
            self._check(float(self.processes.total(loss)), 0, 0)
            self._move(self.training.learning_rate)
        with _stage("saving a checkpoint"):
            if self.processes.first:
                self._save_and_read_back()
        with _stage("validation"):
            values = self._validate()
            if self.task.metric is not None and self.task.metric not in values:
                raise TrainingError(f"validation returns {sorted(values)} and no {self.task.metric!r}")
        self.restore(before)

    def _save_and_read_back(self) -> None:
        trial = self.folder / "dry-run"
        checkpoints.save(trial, "step-0", self.capture(), best=True)
        saved = checkpoints.read(trial, "last")
        assert saved is not None
        self.restore(saved)
        checkpoints.clear(trial)
        trial.rmdir()

    def read(self, kind: checkpoints.Kind) -> Checkpoint | None:
        """A checkpoint of the folder; only the first process needs access to the folder."""
        return self.processes.broadcast(checkpoints.read(self.folder, kind) if self.processes.first else None)

    def _save(self, name: str, *, best: bool) -> None:
        if self.processes.first:
            checkpoints.save(self.folder, name, self.capture(), best=best, keep=self.training.keep)

    def _move(self, rate: float) -> None:
        self.processes.add_gradients(self.optimiser.dense, self.optimiser.tables)
        self.optimiser.step(rate)

    def train(self) -> bool:
        """Run the remaining epochs; returns whether training stopped early."""
        while self.progress.epoch < self.training.epochs:
            if self._out_of_patience():
                return True
            self._epoch()
        return False

    def _out_of_patience(self) -> bool:
        progress = self.progress
        return bool(progress.epochs) and progress.epoch - progress.best_epoch >= self.training.patience

    def _epoch(self) -> None:
        progress, training = self.progress, self.training
        epoch, count = progress.epoch, self.batches[progress.epoch]
        self.task.model.train()
        bar = Progress(f"{self.label} epoch {epoch + 1} of {training.epochs}", count)
        bar.done = progress.step
        before = progress.loss_sum if self.processes.first else 0.0
        loss_sum = torch.tensor(before, dtype=torch.float64, device=self.device)
        whole = loss_sum
        rate = training.learning_rate
        saved = started = time.perf_counter()
        spent = progress.seconds
        while progress.step < count:
            group = range(progress.step, min(progress.step + training.accumulate, count))
            for step in group:
                loss, examples = self._micro_step(epoch, step, len(group))
                loss_sum += loss.double() * examples
                progress.examples += examples
            rate = learning_rate_at(progress.moves, self.total_moves, training)
            self._move(rate)
            progress.moves += 1
            check = progress.moves % _CHECK_EVERY == 0 or group.stop == count
            progress.step = group.stop
            if check:
                whole = self.processes.total(loss_sum)
                self._check(float(whole), epoch, progress.step)
            bar.advance(len(group), **({"loss": float(whole) / max(progress.examples, 1)} if check else {}))
            now = time.perf_counter()
            progress.seconds = spent + now - started
            if check and now - saved > self.save_every_seconds and progress.step < count:
                progress.loss_sum = float(whole)
                self._save(f"step-{progress.moves:08d}", best=False)
                saved = time.perf_counter()
        values = self._validate()
        row = {"epoch": epoch + 1, "loss": float(whole) / max(progress.examples, 1), "learning_rate": rate}
        self._end_epoch(row | {"seconds": round(progress.seconds, 3)} | values)

    def _end_epoch(self, row: dict[str, float]) -> None:
        progress = self.progress
        progress.epochs.append(row)
        progress.total_examples += progress.examples
        progress.total_seconds += progress.seconds
        metric = row[self.task.metric or "epoch"]
        if best := progress.best_epoch == 0 or metric > progress.best_metric:
            progress.best_metric, progress.best_epoch = metric, progress.epoch + 1
        speed = progress.examples / max(progress.seconds, 1e-9)
        progress.epoch, progress.step = progress.epoch + 1, 0
        progress.loss_sum, progress.examples, progress.seconds = 0.0, 0, 0.0
        self._save(f"step-{progress.moves:08d}-epoch-end", best=best)
        values = {name: value for name, value in row.items() if name != "epoch"}
        say_epoch(self.label, progress.epoch, values | {"examples/s": speed}, best=best)

    def _micro_step(self, epoch: int, step: int, parts: int) -> tuple[Tensor, int]:
        with self._autocast():
            loss, examples = self.task.loss(epoch, step)
        self.optimiser.scale(loss / parts).backward()  # type: ignore[no-untyped-call]  # torch has no types here
        return loss.detach(), examples

    def _validate(self) -> dict[str, float]:
        self.task.model.eval()
        with torch.no_grad():
            values = {name: float(value) for name, value in self.task.validate().items()}
        values = self.processes.broadcast(
            values
        )  # values differ by rounding, and all processes must stop in the same epoch
        self.task.model.train()
        metric = self.task.metric or ""
        if not math.isfinite(values.get(metric, 0.0)):
            raise TrainingError(f"validation returns {metric} = {values[metric]}, which is not a number")
        return values

    def _check(self, loss: float, epoch: int, step: int) -> None:
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss} in epoch {epoch + 1} at step {step}; lower training.learning_rate "
                f"(now {self.training.learning_rate:g}), set training.clip_norm, or look for very large numbers in the "
                "features or weights of the data; the last checkpoint is valid"
            )

    def _autocast(self) -> AbstractContextManager[Any]:
        precision = self.training.precision
        if precision == "float32" or (precision == "auto" and self.device.type == "cpu"):
            return nullcontext()
        half = torch.float16 if precision == "float16" else torch.bfloat16
        return torch.autocast(self.device.type, dtype=half)

    def capture(self) -> Checkpoint:
        rng_states = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            rng_states["cuda"] = torch.cuda.get_rng_state()
        state = {"optimiser": self.optimiser.state(), "chance": rng_states}
        weights = {name: weight.detach().cpu() for name, weight in self.task.model.state_dict().items()}
        return Checkpoint(weights, state, json.loads(json.dumps(dataclasses.asdict(self.progress))))

    def restore(self, found: Checkpoint) -> None:
        self.optimiser.zero_grad()
        self.task.model.load_state_dict(found.weights)
        self.optimiser.load(found.state["optimiser"])
        torch.set_rng_state(found.state["chance"]["cpu"])
        if "cuda" in found.state["chance"] and self.device.type == "cuda":
            torch.cuda.set_rng_state(found.state["chance"]["cuda"])
        self.progress = _Progress(**found.progress)


@contextmanager
def _stage(name: str) -> Iterator[None]:
    """Add the stage of the dry run to errors; `_readable_errors` explains errors of memory."""
    try:
        yield
    except (TrainingError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise TrainingError(f"the dry run failed in its {name}, nothing was trained: {error}") from error


@contextmanager
def _readable_errors(training: Training) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        half, double = max(training.batch_size // 2, 2), training.accumulate * 2
        raise TrainingError(
            f"the GPU has too little memory for training.batch_size {training.batch_size}: set training.batch_size "
            f"{half} and training.accumulate {double}, which keeps the effective batch size ({error})"
        ) from error


def _peak_memory_mb(device: torch.device) -> float:
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    return peak_memory_mb()
