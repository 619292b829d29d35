"""Speed of a training step of the retrieval model, for each encoder, and where the time goes.

    python -m benchmarks.train [--recipe recipes/movielens-1m.yaml] [--encoder transformer,hstu] [--batch 32]
                               [--steps 200] [--threads 2] [--device cpu] [--positions every] [--profile] [--json FILE]

Without a recipe the data are synthetic listens of 20,000 items with artists and albums. On a CPU each step is taken
apart: waiting for its batch, the forward pass with the loss, the backward pass, the optimiser. Medians, so that a busy
machine disturbs little; the first steps are left out.
"""

import argparse
import statistics
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import torch

from benchmarks.kept import Figure, Figures
from benchmarks.music import DATA, music_log
from shortlist.cpus import available_cpus
from shortlist.data.ingest import ingest
from shortlist.dataset.prepare import prepare
from shortlist.dataset.prepared import Prepared
from shortlist.recipe import Recipe, load_recipe, parse_recipe
from shortlist.retrieval.steps import Step
from shortlist.retrieval.task import RetrievalTask
from shortlist.training.optimiser import Optimiser

MUSIC = """
name: benchmark
source: {kind: yambda, path: "%s"}
interactions: {positive: played_ratio_pct >= 50}
split: {kind: temporal, test: 4d, valid: 4d}
features:
  history_length: 50
  item:
    id_dim: 64
    categorical: [{name: artist_id, dim: 32, max_values: 2}, {name: album_id, dim: 16}]
  context: {clock: [hour]}
retrieval:
  positions: every
  dim: 64
  hidden: [128]
  training: {batch_size: 32}
"""
_WARM = 10


def prepared_store(recipe: Recipe, folder: Path) -> Prepared:
    ingest(recipe, folder / "tables")
    prepare(recipe, folder / "tables", folder / "prepared")
    return Prepared.open(folder / "prepared")


def measure(task: RetrievalTask, steps: int, device: torch.device) -> float:
    """Steps a second."""
    training = task.retrieval.training
    task.model.to(device).train()
    optimiser = Optimiser.of(task.model, training, device)
    made, waited = task.step, [0.0]

    def timed(epoch: int, step: int) -> Step:
        start = time.perf_counter()
        one = made(epoch, step)
        waited[0] = time.perf_counter() - start
        return one

    task.step = timed  # type: ignore[method-assign]  # stands in for the batches and keeps the time
    half = torch.autocast("cuda", dtype=torch.bfloat16) if device.type == "cuda" else nullcontext()
    per_epoch = task.num_batches(0)
    parts: dict[str, list[float]] = {"batch": [], "forward and loss": [], "backward": [], "optimiser": []}
    whole, examples = [], 0
    for step in range(_WARM + steps):
        start = time.perf_counter()
        with half:
            loss, count = task.loss(step // per_epoch, step % per_epoch)
        forward = time.perf_counter()
        loss.backward()  # type: ignore[no-untyped-call]  # torch declares backward without types
        backward = time.perf_counter()
        optimiser.step(training.learning_rate)
        if device.type == "cuda" and step % 10 == 9:  # a real loop looks at the loss now and then, not at every step
            torch.cuda.synchronize()
        end = time.perf_counter()
        if step >= _WARM:
            parts["batch"].append(waited[0])
            parts["forward and loss"].append(forward - start - waited[0])
            parts["backward"].append(backward - forward)
            parts["optimiser"].append(end - backward)
            whole.append(end - start)
            examples += count
    middle = statistics.median(whole) if device.type == "cpu" else sum(whole) / steps
    print(
        f"{1 / middle:.1f} it/s ({1e3 * middle:.2f} ms a step), {examples / steps / middle:,.0f} examples/s, "
        f"{examples / steps:.0f} examples a step, {steps / sum(whole):.1f} it/s in all"
    )
    if device.type == "cpu":
        for name, seconds in parts.items():
            part = statistics.median(seconds)
            print(f"  {name:<18} {1e3 * part:7.2f} ms  {100 * part / middle:5.1f} %")
    return 1 / middle


def profile(task: RetrievalTask, steps: int, device: torch.device) -> float:
    """As `measure`, and the operators that take the most time."""
    kinds = torch.profiler.ProfilerActivity
    with torch.profiler.profile(activities=[kinds.CPU, *([kinds.CUDA] if device.type == "cuda" else [])]) as seen:
        speed = measure(task, steps, device)
    print(seen.key_averages().table(sort_by=f"self_{device.type}_time_total", row_limit=25, max_name_column_width=40))
    return speed


def chosen(recipe: Recipe, encoder: str, positions: str | None, batch: int | None) -> Recipe:
    """The recipe with another encoder, and other positions and batches where they are given."""
    retrieval = recipe.retrieval
    changes = {"encoder": encoder, "positions": positions or retrieval.positions}
    training = retrieval.training.model_copy(update={"batch_size": batch or retrieval.training.batch_size})
    return recipe.model_copy(update={"retrieval": retrieval.model_copy(update=changes | {"training": training})})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, help="a recipe; by default synthetic music")
    parser.add_argument("--encoder", default="mean,attention,transformer,hstu", help="with commas between")
    parser.add_argument("--positions", choices=["last", "every"])
    parser.add_argument("--batch", type=int)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--threads", type=int, default=available_cpus(), help="by default as many as there are cores")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--data", type=Path, default=DATA, help="where the synthetic log is kept")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.recipe:
        recipe = load_recipe(options.recipe)
    else:
        log = music_log(options.data, users=5_000, items=20_000, events=300_000, days=60)
        recipe = parse_recipe(MUSIC % log.resolve())
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        prepared = prepared_store(recipe, Path(folder))
        for encoder in options.encoder.split(","):
            changed = chosen(recipe, encoder, options.positions, options.batch)
            size = changed.retrieval.training.batch_size
            print(
                f"{changed.name}, {encoder}, {changed.retrieval.positions} positions, {size} a step, "
                f"{options.threads} threads, {options.device}"
            )
            task = RetrievalTask(changed, prepared)
            speed = (profile if options.profile else measure)(task, options.steps, torch.device(options.device))
            name = f"{encoder}, {changed.retrieval.positions} positions, batch {size}, steps/s"
            figures.append(Figure(bench="train", name=name, value=speed, better="higher"))
    if options.json:
        Figures.here(figures).write(options.json)


if __name__ == "__main__":
    main()
