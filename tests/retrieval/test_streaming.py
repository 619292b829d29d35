"""The streaming estimate of how often a step contains an item, against how often it does."""

from pathlib import Path

import numpy as np
import pytest
import torch
from clean_tables import recipe, write_clean
from hypothesis import given
from hypothesis import strategies as st

from shortlist.dataset.prepare import prepare
from shortlist.dataset.prepared import Prepared
from shortlist.recipe import Recipe, Retrieval, StreamingLogQ
from shortlist.retrieval.export import export
from shortlist.retrieval.negatives import NegativeSampler, StreamingFrequency
from shortlist.retrieval.negatives.streaming import cells_of_rows
from shortlist.retrieval.task import RetrievalTask
from shortlist.retrieval.train_retrieval import train_retrieval
from shortlist.training import checkpoints

ITEMS = 50
POPULARITY = np.append(0, 1000 // np.arange(1, ITEMS))


def settings(**changed: float) -> StreamingLogQ:
    return StreamingLogQ.model_validate({"kind": "streaming", **changed})


def estimate(made: StreamingLogQ, steps: list[list[int]], rows: np.ndarray) -> np.ndarray:
    frequency = StreamingFrequency(made)
    for step in steps:
        frequency.observe(torch.from_numpy(cells_of_rows(np.unique(step), made)))
    return frequency.log_q(torch.from_numpy(cells_of_rows(rows, made))).exp().numpy()


@pytest.mark.parametrize("negatives", [
    {"kind": "in_batch"},
    {"kind": "in_batch", "max_in_batch": 6},
    {"kind": "mixed", "num_uniform": 15},
])  # fmt: skip
def test_on_a_stationary_stream_it_is_what_exact_counts_say(negatives: dict[str, int]) -> None:
    rng, batch = np.random.default_rng(0), 40
    made = settings(alpha=0.02, cells=4096)
    loss = {"kind": "softmax", "temperature": 1.0}
    exact = NegativeSampler(Retrieval.model_validate({"loss": loss, "negatives": negatives}), POPULARITY)
    stream = NegativeSampler(
        Retrieval.model_validate({"loss": loss | {"log_q": made}, "negatives": negatives}), POPULARITY
    )
    frequency, ratios = StreamingFrequency(made), []
    for step in range(2500):
        item_E = rng.choice(ITEMS, batch, p=POPULARITY / POPULARITY.sum())
        sampled = stream.sample(item_E, rng=torch.Generator().manual_seed(step))
        counted = exact.sample(item_E, rng=torch.Generator().manual_seed(step))
        assert sampled.sighting is not None
        assert counted.log_q_N is not None
        assert sampled.log_q_N is None
        estimated_N = frequency.log_q_after(sampled.sighting)
        if step >= 1500:
            ratios.append((estimated_N - counted.log_q_N).numpy())
    off = np.concatenate(ratios)
    assert abs(off.mean()) < 0.05
    assert np.abs(off).mean() < 0.1  # of a logarithm: a tenth of Q


@given(st.integers(1, 20), st.integers(1, 30), st.floats(0.01, 1))
def test_an_item_of_every_nth_step_has_the_gap_n(every: int, times: int, alpha: float) -> None:
    steps = [[1] if step % every == 0 else [] for step in range(1, every * times + 1)]
    assert estimate(settings(alpha=alpha, cells=64), steps, np.array([1]))[0] == pytest.approx(1 / every, rel=1e-4)


@given(st.lists(st.lists(st.integers(1, 9), max_size=5), min_size=1, max_size=40), st.floats(0.01, 1))
def test_the_gap_is_between_the_smallest_and_the_largest(steps: list[list[int]], alpha: float) -> None:
    """Also for an item that was never seen, whose gap is all steps so far."""
    estimated = estimate(settings(alpha=alpha, cells=1 << 14), steps, np.arange(1, 10))
    for item, q in zip(range(1, 10), estimated, strict=True):
        at = [0] + [step for step, items in enumerate(steps, 1) if item in items]
        gaps = np.diff(at) if len(at) > 1 else np.array([len(steps)])
        assert 1 / gaps.max() * (1 - 1e-5) <= q <= 1 / gaps.min() * (1 + 1e-5)


def test_more_hash_functions_lessen_what_collisions_do() -> None:
    """Items that share a cell seem more frequent than they are."""
    rng = np.random.default_rng(1)
    steps = [rng.choice(1000, 20, replace=False).tolist() for _ in range(1000)]
    rows = np.arange(1000)
    off = [
        np.log(estimate(settings(alpha=0.05, cells=2000, hashes=hashes), steps, rows) * 50).mean() for hashes in (1, 4)
    ]
    assert off[0] > 0.15
    assert abs(off[1]) < off[0] / 2


def small(log_q: str = "{kind: streaming, cells: 512, alpha: 0.1}", more: str = "") -> Recipe:
    return recipe(
        features="{history_length: 6, item: {id_dim: 8}}",
        retrieval=f"{{dim: 8, hidden: [], loss: {{kind: softmax, log_q: {log_q}}}, {more}"
        "training: {batch_size: 16, epochs: 2, device: cpu}}",
    )


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    rng, count = np.random.default_rng(0), 500
    events = {
        "user_id": rng.integers(1, 20, count),
        "item_id": rng.integers(1, 30, count),
        "time": np.sort(rng.integers(0, 100, count)),
    }
    folder = tmp_path_factory.mktemp("streaming")
    prepare(small(), write_clean(folder / "clean", events), folder / "prepared")
    return Prepared.open(folder / "prepared")


def test_a_stopped_training_continues_the_estimate(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_retrieval(small(), prepared, tmp_path / "whole")
    original, per_epoch = RetrievalTask.loss, RetrievalTask(small(), prepared).num_batches(0)

    def loss(self: RetrievalTask, epoch: int, step: int) -> object:
        if (epoch, step) == (1, 3):
            raise KeyboardInterrupt
        return original(self, epoch, step)

    with monkeypatch.context() as patch:
        patch.setattr(RetrievalTask, "loss", loss)
        with pytest.raises(KeyboardInterrupt):
            train_retrieval(small(), prepared, tmp_path / "stopped")
    train_retrieval(small(), prepared, tmp_path / "stopped")
    whole, stopped = (checkpoints.read(tmp_path / name, "last") for name in ("whole", "stopped"))
    assert whole is not None
    assert stopped is not None
    assert int(whole.weights["frequency.step"]) == 2 * per_epoch, "the dry run leaves no trace"
    assert all(torch.equal(whole.weights[name], stopped.weights[name]) for name in whole.weights)


def test_it_is_exported_with_hard_negatives_and_a_refit(prepared: Prepared, tmp_path: Path) -> None:
    made = small(more="negatives: {kind: mixed, num_uniform: 4, num_hard: 2}, refit: {epochs: 1}, ")
    result = train_retrieval(made, prepared, tmp_path / "towers")
    assert np.isfinite(result.details["curves"]["loss"]).all()
    export(made, prepared, tmp_path / "towers", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "item_inputs.npy",
        "known.npy",
        "query_tower.onnx",
        "retrieval.json",
        "vectors.npy",
    ]
