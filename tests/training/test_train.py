import copy
import json
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from shortlist.recipe import Tables, Training
from shortlist.training import checkpoints
from shortlist.training.fit import TrainingError, fit
from shortlist.training.optimiser import Optimiser
from shortlist.training.schedule import learning_rate_at


class KilledError(Exception):
    pass


class Lesson:
    """Learns a linear rule through dropout, from batches that (epoch, step) name; has a sparse and a dense table."""

    metric = "fit"

    def __init__(self, die_at: tuple[int, int] | None = None, sparse: bool = True) -> None:
        torch.manual_seed(0)
        self.model = nn.ModuleDict(
            {
                "table": nn.Embedding(20, 4, sparse=sparse),
                "dropout": nn.Dropout(0.3),
                "head": nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1)),
            }
        )
        self.die_at, self.loss_is, self.metrics = die_at, None, None
        self.asked: list[tuple[int, int]] = []

    def num_batches(self, epoch: int) -> int:
        return 7

    def _rows(self, epoch: int, step: int) -> Tensor:
        return torch.randint(20, (16,), generator=torch.Generator().manual_seed(1000 * epoch + step))

    def _out(self, rows: Tensor) -> Tensor:
        return self.model["head"](self.model["dropout"](self.model["table"](rows)))[:, 0]

    def loss(self, epoch: int, step: int) -> tuple[Tensor, int]:
        if self.die_at == (epoch, step) and len(self.asked) > 1:
            raise KilledError
        self.asked.append((epoch, step))
        rows = self._rows(epoch, step)
        loss = ((self._out(rows) - rows / 20) ** 2).mean()
        return (loss if self.loss_is is None else loss * self.loss_is), len(rows)

    def validate(self) -> dict[str, float]:
        assert not self.model.training
        assert not torch.is_grad_enabled()
        if self.metrics is not None:
            return {"fit": self.metrics.pop(0)}
        rows = torch.arange(20)
        return {"fit": -float(((self._out(rows) - rows / 20) ** 2).mean())}


TRAINING = Training(batch_size=16, epochs=4, learning_rate=0.05, patience=10, device="cpu", accumulate=2)


def run(lesson: Lesson, folder: Path, training: Training = TRAINING, **more: float):
    return fit(lesson, training, folder, seed=3, label="lesson", **more)


def test_it_learns_and_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lesson = Lesson()
    before = lesson.model["head"][0].weight.detach().clone()
    result = run(lesson, tmp_path)
    assert [row["epoch"] for row in result.epochs] == [1, 2, 3, 4]
    assert result.epochs[-1]["loss"] < 0.7 * result.epochs[0]["loss"]
    assert result.best_metric == max(row["fit"] for row in result.epochs)
    assert result.examples_per_second > 0
    assert result.peak_memory_mb > 10
    assert not torch.equal(before, lesson.model["head"][0].weight)
    said = capsys.readouterr().out
    assert "lesson epoch 4 of 4 100% 7/7" in said
    assert "examples/s" in said


@pytest.mark.parametrize("at", [(0, 4), (2, 0), (2, 5), (3, 6)])
@pytest.mark.parametrize("save_every", [0.0, 1e9])
def test_a_killed_training_ends_with_the_same_bits(
    tmp_path: Path, at: tuple[int, int], save_every: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shortlist.training.fit._CHECK_EVERY", 1)  # each look at the loss may save
    whole, killed = Lesson(), Lesson(die_at=at)
    expected = run(whole, tmp_path / "whole")
    with pytest.raises(KilledError):
        run(killed, tmp_path / "killed", save_every_seconds=save_every)
    again = Lesson()
    result = run(again, tmp_path / "killed", save_every_seconds=save_every)
    assert result.best_metric == expected.best_metric
    assert [row["loss"] for row in result.epochs] == [row["loss"] for row in expected.epochs]
    for kind in ("last", "best"):
        one = checkpoints.read(tmp_path / "whole", kind)
        two = checkpoints.read(tmp_path / "killed", kind)
        assert one is not None
        assert two is not None
        assert all(torch.equal(one.weights[name], two.weights[name]) for name in one.weights)
    assert len(again.asked) < len(whole.asked) or at == (0, 4)


def test_mid_epoch_checkpoints_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shortlist.training.fit._CHECK_EVERY", 1)
    with pytest.raises(KilledError):
        run(Lesson(die_at=(1, 5)), tmp_path, save_every_seconds=0.0)
    again = Lesson()
    run(again, tmp_path)
    assert again.asked[1] == (1, 4)  # the first one is the dry run


def test_a_finished_training_is_not_done_again(tmp_path: Path) -> None:
    first = run(Lesson(), tmp_path)
    lesson = Lesson()
    assert run(lesson, tmp_path).epochs == first.epochs
    assert lesson.asked == []


def test_other_settings_start_from_the_beginning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(Lesson(), tmp_path)
    lesson = Lesson()
    run(lesson, tmp_path, TRAINING.model_copy(update={"learning_rate": 0.01}))
    assert "training from scratch" in capsys.readouterr().out
    assert len(lesson.asked) == 29


def test_early_stop_leaves_the_best_weights(tmp_path: Path) -> None:
    lesson = Lesson()
    lesson.metrics = [0.0, 0.1, 0.5, 0.4, 0.3, 0.9]  # the first one is the dry run's
    result = run(lesson, tmp_path, TRAINING.model_copy(update={"patience": 2, "epochs": 9}))
    assert (result.best_epoch, result.best_metric, result.stopped_early) == (2, 0.5, True)
    assert len(result.epochs) == 4
    best = checkpoints.best_weights(tmp_path)
    assert all(torch.equal(best[name], weight) for name, weight in lesson.model.state_dict().items())
    kept = [path.name for path in tmp_path.glob("step-*")]
    assert len(kept) == 2


def test_the_dry_run_comes_first_and_changes_nothing(tmp_path: Path) -> None:
    lesson = Lesson()
    lesson.validate = lambda: {"other": 1.0}  # type: ignore[method-assign]  # a task that forgot its metric
    weights = {name: weight.clone() for name, weight in lesson.model.state_dict().items()}
    with pytest.raises(TrainingError, match="no 'fit'"):
        run(lesson, tmp_path)
    assert lesson.asked == [(0, 0)]
    assert checkpoints.read(tmp_path, "last") is None
    broken = Lesson()
    broken.loss = lambda epoch, step: 1 / 0  # type: ignore[method-assign]  # a task that fails
    with pytest.raises(TrainingError, match="dry run failed in its training step, nothing was trained"):
        run(broken, tmp_path)
    assert all(torch.equal(weights[name], weight) for name, weight in broken.model.state_dict().items())


def test_a_loss_that_is_no_number_stops_with_a_way_out(tmp_path: Path) -> None:
    lesson = Lesson()
    original = lesson.loss

    def loss(epoch: int, step: int) -> tuple[Tensor, int]:
        lesson.loss_is = float("nan") if epoch == 2 else None
        return original(epoch, step)

    lesson.loss = loss  # type: ignore[method-assign]
    with pytest.raises(TrainingError, match=r"loss is nan in epoch 3 .*lower training.learning_rate \(now 0.05\)"):
        run(lesson, tmp_path)
    last = checkpoints.read(tmp_path, "last")
    assert last is not None
    assert last.progress["epoch"] == 2
    assert all(weight.isfinite().all() for weight in last.weights.values())


def test_too_little_gpu_memory_says_what_to_change(tmp_path: Path) -> None:
    lesson = Lesson()

    def loss(epoch: int, step: int) -> tuple[Tensor, int]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    lesson.loss = loss  # type: ignore[method-assign]
    with pytest.raises(TrainingError, match=r"batch_size 8 and training.accumulate 4"):
        run(lesson, tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"training.device is 'cuda'"):
        run(Lesson(), tmp_path, TRAINING.model_copy(update={"device": "cuda"}))


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_trains(tmp_path: Path, precision: str) -> None:
    result = run(Lesson(), tmp_path, TRAINING.model_copy(update={"precision": precision}))
    assert result.epochs[-1]["loss"] < result.epochs[0]["loss"]


def test_a_scaled_step_is_the_plain_one_and_an_overflow_in_one_gradient_skips_all() -> None:
    after = []
    for scaler in (None, torch.amp.GradScaler("cpu")):
        lesson = Lesson()
        lesson.model["dropout"].p = 0.0
        optimiser = Optimiser(lesson.model, 0.1, 0.0, clip_norm=1.0, scaler=scaler)
        optimiser.scale(lesson.loss(0, 0)[0]).backward()
        optimiser.step(0.1)
        after.append(copy.deepcopy(lesson.model.state_dict()))
    assert all(torch.allclose(after[0][name], after[1][name], atol=1e-6) for name in after[0])
    optimiser.scale(lesson.loss(0, 1)[0]).backward()
    lesson.model["head"][2].bias.grad.fill_(torch.inf)  # the table has another optimiser
    optimiser.step(0.1)
    assert all(torch.equal(after[1][name], weight) for name, weight in lesson.model.state_dict().items())
    assert optimiser.state()[-1]["scale"] == 2.0**15


def test_a_killed_training_in_float16_resumes_with_its_loss_scale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shortlist.training.fit._CHECK_EVERY", 1)
    training = TRAINING.model_copy(update={"precision": "float16"})
    expected = run(Lesson(), tmp_path / "whole", training)
    with pytest.raises(KilledError):
        run(Lesson(die_at=(2, 4)), tmp_path / "killed", training, save_every_seconds=0.0)
    result = run(Lesson(), tmp_path / "killed", training)
    assert [row["loss"] for row in result.epochs] == [row["loss"] for row in expected.epochs]


@pytest.mark.parametrize("keep", [1, 3])
def test_the_last_checkpoints_and_the_best_are_kept(tmp_path: Path, keep: int) -> None:
    lesson = Lesson()
    lesson.metrics = [0.0, 0.5, 0.1, 0.2, 0.3, 0.4, 0.1]
    run(lesson, tmp_path, TRAINING.model_copy(update={"keep": keep, "epochs": 6}))
    kept = [int(path.name.split("-")[1]) // 4 for path in sorted(tmp_path.glob("step-*"))]  # 4 steps per epoch
    assert kept == [1, *range(7 - keep, 7)]


def rates_of(total: int = 100, **settings: Any) -> list[float]:
    training = Training(learning_rate=1.0, **({"warmup": 0.1} | settings))
    return [learning_rate_at(step, total, training) for step in range(total)]


def test_the_learning_rate_rises_then_falls() -> None:
    rates = rates_of()
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == 1.0
    assert rates[55] == pytest.approx(0.5)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[99] < 0.001
    assert rates_of(1, warmup=0.0) == [1.0]


def test_each_schedule_starts_at_the_peak_after_the_warmup() -> None:
    linear, constant = rates_of(schedule="linear"), rates_of(schedule="constant")
    assert linear[:10] == constant[:10] == rates_of()[:10]
    assert linear[55] == pytest.approx(0.5)
    assert linear[99] == pytest.approx(1 / 90)
    assert constant[10:] == [1.0] * 90
    step = rates_of(schedule="step", warmup=0.0, step_at=[0.3, 0.6], step_factor=0.5)
    assert step == [1.0] * 30 + [0.5] * 30 + [0.25] * 40


def test_settings_of_the_step_schedule_need_it() -> None:
    with pytest.raises(ValidationError, match="step_at needs schedule: step; leave it out"):
        Training(step_at=[0.1])


@pytest.mark.parametrize("sparse", [True, False])
def test_clipping_bounds_all_gradients_together(sparse: bool) -> None:
    lesson = Lesson(sparse=sparse)
    optimiser = Optimiser(lesson.model, 0.1, 0.0, clip_norm=0.5)
    (lesson.loss(0, 0)[0] * 1000).backward()
    seen: list[Tensor] = []
    for one in optimiser._optimisers:
        one.step = lambda: None  # type: ignore[method-assign]  # keep the gradients
    optimiser.zero_grad = lambda: seen.extend(g.clone() for g in optimiser._gradients())  # type: ignore[method-assign]
    optimiser.step(0.1)
    assert float(torch.cat([g.flatten() for g in seen]).norm()) == pytest.approx(0.5, rel=1e-4)


def test_sparse_and_dense_tables_take_the_same_steps() -> None:
    """As long as every row is in every step, lazy Adam is Adam."""
    after = []
    for sparse in (True, False):
        lesson = Lesson(sparse=sparse)
        lesson.model["dropout"].p = 0.0
        lesson._rows = lambda epoch, step: torch.arange(20)  # type: ignore[method-assign]
        optimiser = Optimiser(lesson.model, 0.1, 0.0, clip_norm=1.0)
        for step in range(5):
            lesson.loss(0, step)[0].backward()
            optimiser.step(0.1)
        after.append(lesson.model["table"].weight.detach().clone())
    assert torch.allclose(after[0], after[1], atol=1e-5)


def test_a_sparse_step_moves_only_the_rows_it_read() -> None:
    lesson = Lesson()
    before = lesson.model["table"].weight.detach().clone()
    optimiser = Optimiser(lesson.model, 0.1, 0.1, clip_norm=1.0)
    read = lesson._rows(0, 0).unique()
    for _ in range(2):
        lesson.loss(0, 0)[0].backward()
        optimiser.step(0.1)
    moved = (lesson.model["table"].weight != before).any(dim=1).nonzero()[:, 0]
    assert moved.tolist() == read.tolist()


def test_rowwise_adagrad_divides_by_the_mean_square_of_a_row_so_far() -> None:
    lesson = Lesson()
    table = lesson.model["table"].weight
    expected, total = table.detach().clone(), torch.zeros(len(table))
    optimiser = Optimiser(lesson.model, 0.1, 0.0, None, tables=Tables(optimiser="rowwise_adagrad", learning_rate=0.5))
    for step in range(4):
        lesson.loss(0, step)[0].backward()
        gradient = table.grad.to_dense()
        total += gradient.square().mean(1)
        expected -= 0.25 * gradient / (total.sqrt() + 1e-8)[:, None]  # half of the peak, as for dense weights
        optimiser.step(0.05)
    assert torch.allclose(table, expected, atol=1e-6)


@pytest.mark.parametrize(("kind", "numbers"), [("adam", 2 * 20 * 4), ("rowwise_adagrad", 20)])
def test_the_state_of_a_table(kind: Literal["adam", "rowwise_adagrad"], numbers: int) -> None:
    """Two numbers per weight, or one per row."""
    lesson = Lesson()
    assert lesson.model["table"].weight.shape == (20, 4)
    optimiser = Optimiser(lesson.model, 0.1, 0.0, None, tables=Tables(optimiser=kind))
    lesson.loss(0, 0)[0].backward()
    optimiser.step(0.1)
    kept = optimiser.state()[-1]["state"][0]
    assert sum(one.numel() for name, one in kept.items() if name != "step") == numbers


def test_a_broken_checkpoint_is_named(tmp_path: Path) -> None:
    run(Lesson(), tmp_path)
    name = json.loads((tmp_path / "checkpoints.json").read_text())["last"]
    path = tmp_path / name / "state.pt"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=f"{name}.*cannot be read"):
        run(Lesson(), tmp_path)


def test_a_kill_while_saving_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(Lesson(), tmp_path)
    before = checkpoints.read(tmp_path, "last")
    assert before is not None
    for where in ("_sync", "_replace"):
        with monkeypatch.context() as patch:

            def die(*_: object) -> None:
                raise KilledError

            patch.setattr(checkpoints, where, die)
            with pytest.raises(KilledError):
                checkpoints.save(tmp_path, "step-99999999", before, best=True)
        after = checkpoints.read(tmp_path, "last")
        assert after is not None
        assert after.progress == before.progress
    checkpoints.save(tmp_path, "step-99999999", before, best=True)
    assert [path.name for path in tmp_path.glob("step-*")] == ["step-99999999"]


def test_accumulated_gradients_are_the_mean_of_their_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[int, list[Tensor]] = {1: [], 7: []}
    for accumulate, gradients in seen.items():
        lesson = Lesson(sparse=False)
        lesson.model["dropout"].p = 0.0

        def step(self: Optimiser, learning_rate: float, into: list[Tensor] = gradients) -> None:
            into.append(torch.cat([weight.grad.flatten() for weight in self._weights]))
            self.zero_grad()

        with monkeypatch.context() as patch:
            patch.setattr(Optimiser, "step", step)
            settings = {"accumulate": accumulate, "epochs": 1}
            run(lesson, tmp_path / str(accumulate), TRAINING.model_copy(update=settings))
    assert len(seen[7]) == 2  # the first one is the dry run
    assert torch.allclose(seen[7][1], torch.stack(seen[1][1:]).mean(0), atol=1e-6)
