"""Speed of a training step of the music model, and where its time goes.

    python -m benchmarks.train [--steps 200] [--threads 2] [--encoder attention] [--positions last] [--profile]

The data are synthetic listens of 20,000 items with artists and albums. Each step is taken apart: the batch is made by
itself, then the forward pass with the loss, the backward pass, and the optimiser. Medians, so that a busy machine
disturbs little; the first steps are left out.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from shortlist.ingest import ingest
from shortlist.prepare.prepare import prepare
from shortlist.prepare.prepared import Prepared
from shortlist.recipe import Recipe, parse_recipe
from shortlist.retrieval.batches import Batch, RetrievalBatches
from shortlist.retrieval.train_retrieval import RetrievalTask
from shortlist.training.optimiser import Optimiser

RECIPE = """
name: benchmark
source: {{kind: synthetic, users: 5000, items: {items}, events: {events}, days: 60, dirty: 0}}
interactions: {{positive: played_ratio_pct >= 50}}
split: {{kind: temporal, test: 4d, valid: 4d}}
features:
  history_length: 50
  item:
    id_dim: {id_dim}
    categorical: [{{name: artist_id, dim: 32, max_values: 2}}, {{name: album_id, dim: 16}}]
  user: {{id_dim: {user_dim}}}
  context: {{clock: [hour]}}
retrieval:
  encoder: {encoder}
  positions: {positions}
  dim: 64
  hidden: [128]
  training: {{batch_size: {batch}, epochs: 1, device: cpu}}
"""
_WARM = 10


class Resident:
    """Makes each batch once and keeps the last, to tell the time of making it from that of learning from it."""

    def __init__(self, batches: RetrievalBatches) -> None:
        self.batches, self.seconds = batches, 0.0
        self.examples = batches.examples

    def num_batches(self, epoch: int) -> int:
        return self.batches.num_batches(epoch)

    def batch(self, epoch: int, step: int) -> Batch:
        start = time.perf_counter()
        made = self.batches.batch(epoch, step % self.num_batches(epoch))
        self.seconds = time.perf_counter() - start
        return made


def prepared_store(recipe: Recipe, folder: Path) -> Prepared:
    ingest(recipe, folder / "tables")
    prepare(recipe, folder / "tables", folder / "prepared")
    return Prepared.open(folder / "prepared")


def measure(task: RetrievalTask, steps: int) -> None:
    training = task.retrieval.training
    optimiser = Optimiser(task.model, training.learning_rate, training.weight_decay, training.clip_norm)
    timed = Resident(task.batches)
    task.batches = timed  # type: ignore[assignment]  # stands in for the batches and keeps the time
    task.model.train()
    parts: dict[str, list[float]] = {"batch": [], "forward and loss": [], "backward": [], "optimiser": []}
    whole, examples = [], 0
    for step in range(_WARM + steps):
        start = time.perf_counter()
        loss, count = task.loss(0, step)
        forward = time.perf_counter()
        loss.backward()  # type: ignore[no-untyped-call]  # torch declares backward without types
        backward = time.perf_counter()
        optimiser.step(training.learning_rate)
        end = time.perf_counter()
        if step >= _WARM:
            parts["batch"].append(timed.seconds)
            parts["forward and loss"].append(forward - start - timed.seconds)
            parts["backward"].append(backward - forward)
            parts["optimiser"].append(end - backward)
            whole.append(end - start)
            examples += count
    middle = statistics.median(whole)
    print(
        f"{1 / middle:.1f} it/s by the median step ({1e3 * middle:.2f} ms), {steps / sum(whole):.1f} it/s in all, "
        f"{examples / steps / middle:,.0f} examples/s, {examples / steps:.0f} examples a step"
    )
    for name, seconds in parts.items():
        part = statistics.median(seconds)
        print(f"  {name:<18} {1e3 * part:7.2f} ms  {100 * part / middle:5.1f} %")


def profile(task: RetrievalTask, steps: int) -> None:
    """The operators that take the most time."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        measure(task, steps)
    print(seen.key_averages().table(sort_by="self_cpu_time_total", row_limit=20, max_name_column_width=40))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--encoder", default="attention")
    parser.add_argument("--positions", default="last")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for id_dim, user_dim in ((64, 0), (32, 14)):
        recipe = parse_recipe(
            RECIPE.format(
                items=options.items,
                events=options.events,
                batch=options.batch,
                encoder=options.encoder,
                positions=options.positions,
                id_dim=id_dim,
                user_dim=user_dim,
            )
        )
        with tempfile.TemporaryDirectory() as folder:
            task = RetrievalTask(recipe, prepared_store(recipe, Path(folder)))
            print(f"item id {id_dim}, user id {user_dim}, {options.threads} threads")
            (profile if options.profile else measure)(task, options.steps)


if __name__ == "__main__":
    main()
