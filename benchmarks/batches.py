"""What it costs to make batches: against a per-sample torch `Dataset`, and beside a training step.

    python -m benchmarks.batches [--events 1000000] [--batch 256] [--steps 60] [--rounds 3] [--threads 0]

First the samples a second of batch assembly alone, the same samples from the same memory-mapped arrays: ours, and a
`Dataset` that slices and pads one history at a time behind a `DataLoader` in this process and with two workers. The
figure to reach is 20 x.

Then a training step (two layers of attention 128 wide over 50 events, towers of 256) whose batch is made on the way,
one whose batches lie ready, and one on a single resident batch, step by step in turn. The figure to reach is 1.1 x.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks.ingest import make_events
from shortlist.data.ingest import ingest
from shortlist.dataset.prepare import prepare
from shortlist.dataset.prepared import Prepared
from shortlist.progress import say
from shortlist.recipe import Recipe, parse_recipe
from shortlist.recipe.load import dump_recipe
from shortlist.retrieval.batches import Ahead, RetrievalBatches
from shortlist.retrieval.steps import Step
from shortlist.retrieval.task import RetrievalTask
from shortlist.training.optimiser import Optimiser

MODEL = """
retrieval:
  encoder: transformer
  positions: {positions}
  dim: 128
  hidden: [256]
  training: {{batch_size: {batch}}}
evaluation: {{mask_seen: false}}
"""


class PerSample(Dataset[dict[str, torch.Tensor]]):
    """One train positive at a time, as it is usually written."""

    def __init__(self, prepared: Prepared, length: int) -> None:
        self.samples, self.items, self.length = prepared.samples, prepared.store.history_items, length
        self.at = RetrievalBatches(prepared, _recipe("last", 256, None)).examples

    def __len__(self) -> int:
        return len(self.at)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        at, samples = self.at[index], self.samples
        seen = self.items[samples.start[at] : samples.end[at]][-self.length :]
        history = torch.zeros(self.length, dtype=torch.int64)
        history[: len(seen)] = torch.as_tensor(seen.astype(np.int64))
        context = {
            name: torch.as_tensor(rows[at].astype(np.int64)) for name, rows in samples.context.categorical.items()
        }
        return {
            "history": history,
            "length": torch.tensor(len(seen)),
            "user": torch.tensor(int(samples.user[at])),
            "item": torch.tensor(int(samples.item[at])),
            "weight": torch.tensor(float(samples.weight[at])),
            **context,
        }


def _recipe(positions: str, batch: int, base: Recipe | None) -> Recipe:
    """The recipe of the log with the model that is measured."""
    text = MODEL.format(positions=positions, batch=batch)
    if base is None:
        return parse_recipe("name: x\nsource: {kind: synthetic}\nsplit: {kind: leave_one_out}\n" + text)
    return parse_recipe(dump_recipe(base) + text)


def made(events: int, data: Path) -> tuple[Recipe, Path]:
    """A prepared folder of so many events, made once."""
    recipe = make_events(events, data)
    folder = data / f"batches-{events}"
    if not (folder / "prepared").exists():
        ingest(recipe, folder / "tables")
        prepare(_recipe("last", 256, recipe), folder / "tables", folder / "prepared")
    return recipe, folder / "prepared"


def rate(batches: Callable[[], Iterator[int]], seconds: float) -> float:
    """Samples a second."""
    count, start = 0, time.perf_counter()
    for size in batches():
        count += size
        if time.perf_counter() - start > seconds:
            break
    return count / (time.perf_counter() - start)


def assembly(prepared: Prepared, recipe: Recipe, rounds: int) -> None:
    ours = RetrievalBatches(prepared, recipe)
    size, length = ours.batch_size, prepared.store.schema.history_length
    dataset = PerSample(prepared, length)

    def loader(workers: int) -> Iterator[int]:
        for batch in DataLoader(dataset, size, shuffle=True, num_workers=workers):
            yield len(batch["item"])

    def our() -> Iterator[int]:
        for step in range(ours.num_batches(0)):
            yield len(ours.batch(0, step).item_E)

    def ahead() -> Iterator[int]:
        made = Ahead(ours.batch, ours.num_batches)
        for step in range(ours.num_batches(0)):
            yield len(made.at(0, step).item_E)

    kinds: dict[str, Callable[[], Iterator[int]]] = {
        "ours": our,
        "ours, from a thread": ahead,
        "Dataset + DataLoader": lambda: loader(0),
        "the same, 2 workers": lambda: loader(2),
    }
    seen: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(rounds):
        for name, batches in kinds.items():
            seen[name].append(rate(batches, 3.0))
    best = statistics.median(seen["ours"])
    say(f"batches of {size}, histories of {length}: samples a second, medians of {rounds} rounds")
    for name, runs in seen.items():
        median = statistics.median(runs)
        say(f"  {name:22} {median:12,.0f} /s   ours is {best / median:6.1f} x")


def training(prepared: Prepared, recipe: Recipe, steps: int) -> None:
    task = RetrievalTask(recipe, prepared)
    settings = recipe.retrieval.training
    cpu = torch.device("cpu")
    optimiser = Optimiser.of(task.model, settings, cpu)
    task.model.train()

    def made_on_the_way(epoch: int, at: int) -> Step:
        return task.steps.make(epoch, at, cpu)

    resident = made_on_the_way(0, 0)

    def step(batch: Callable[[int, int], Step], at: int) -> float:
        task.step = batch  # type: ignore[method-assign] # the batch that is measured
        start = time.perf_counter()
        loss, _ = task.loss(0, at)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step(settings.learning_rate)
        optimiser.zero_grad()
        return time.perf_counter() - start

    seen: dict[str, list[float]] = {"made on the way": [], "lying ready": [], "one resident batch": [], "assembly": []}
    for at in range(steps + 5):
        start = time.perf_counter()
        ready = made_on_the_way(0, at)
        times = {"assembly": time.perf_counter() - start}
        times["made on the way"] = step(made_on_the_way, at)
        times["lying ready"] = step(lambda *_, ready=ready: ready, at)  # type: ignore[misc] # bound at once
        times["one resident batch"] = step(lambda *_: resident, at)
        if at >= 5:
            for name, seconds in times.items():
                seen[name].append(seconds)
    medians = {name: statistics.median(runs) * 1e3 for name, runs in seen.items()}
    say(f"a training step, positions: {recipe.retrieval.positions}, {torch.get_num_threads()} threads, {steps} steps")
    for name, median in medians.items():
        say(f"  {name:22} {median:8.2f} ms   {median / medians['one resident batch']:6.3f} x resident")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0 takes what is there")
    parser.add_argument("--data", type=Path, default=Path(".work/benchmarks"), help="where the log is kept")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    base, folder = made(given.events, given.data)
    prepared = Prepared.open(folder)
    assembly(prepared, _recipe("last", given.batch, base), given.rounds)
    for positions in ("last", "every"):
        training(prepared, _recipe(positions, given.batch, base), given.steps)


if __name__ == "__main__":
    main()
