"""Ingest against a bare Polars read, sort and write of the same file.

    python -m benchmarks.ingest [--events 10000000] [--rounds 3] [--order time|listener]

Both run in turn, A B A B, each time in a process of its own, so that neither warms up for the other and the peak
memory is its own. `--order listener` has the rows as Yambda publishes them, where the sort has nothing to do.
"""

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl

from benchmarks.music import DATA, listens, music_log
from shortlist.data.ingest import ingest
from shortlist.recipe import Recipe, parse_recipe
from shortlist.step_result import peak_memory_mb

RECIPE = """
name: benchmark
source: {{kind: yambda, path: "{path}"}}
interactions: {{positive: played_ratio_pct >= 50}}
contract:
  columns:
    played_ratio_pct: {{min: 0, max: 200}}
split: {{kind: temporal, test: 1d, valid: 1d, gap: 30m}}
features:
  item:
    categorical: [{{name: artist_id, max_values: 2}}, {{name: album_id}}]
  context: {{clock: [hour]}}
"""


def make_events(count: int, folder: Path, order: str = "time") -> Recipe:
    """The recipe of a log of `count` events below `folder`."""
    log = music_log(
        folder,
        users=max(count // 100, 10),
        items=max(count // 10, 100),
        events=count,
        days=300,
        by_time=order == "time",
    )
    return parse_recipe(RECIPE.format(path=log.resolve()))


def listens_of(recipe: Recipe) -> Path:
    assert recipe.source.kind == "yambda"
    return listens(Path(recipe.source.path))


def bare(path: Path, out: Path) -> None:
    """What anybody would write: read, sort by listener and time, write."""
    out.mkdir(parents=True, exist_ok=True)
    pl.read_parquet(path).sort("uid", "timestamp").write_parquet(out / "sorted.parquet")


def measured(work: Callable[..., object], *arguments: object) -> tuple[float, float]:
    """Seconds and peak GB of one call in a new process."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_measure, args=(sender, work, arguments))
    child.start()
    sender.close()
    result: tuple[float, float] = receiver.recv()
    child.join()
    return result


def _measure(sender, work, arguments) -> None:  # type: ignore[no-untyped-def] # runs in the child
    start = time.perf_counter()
    work(*arguments)
    seconds = time.perf_counter() - start
    sender.send((seconds, peak_memory_mb() * 2**20 / 1e9))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--order", choices=["time", "listener"], default="time")
    parser.add_argument("--data", type=Path, default=DATA, help="where the log is kept")
    given = parser.parse_args()
    recipe = make_events(given.events, given.data, given.order)
    seen: dict[str, list[tuple[float, float]]] = {"bare": [], "ingest": []}
    with tempfile.TemporaryDirectory(dir=given.data) as folder:
        for _ in range(given.rounds):
            seen["bare"].append(measured(bare, listens_of(recipe), Path(folder) / "bare"))
            seen["ingest"].append(measured(ingest, recipe, Path(folder) / "tables"))
    base = statistics.median(seconds for seconds, _ in seen["bare"])
    print(f"{given.events:,} events in order of {given.order}, {given.rounds} rounds, medians")
    for name, runs in seen.items():
        seconds, peak = statistics.median(s for s, _ in runs), max(p for _, p in runs)
        print(f"{name:8} {seconds:7.2f} s   {seconds / base:5.2f} x bare   peak {peak:.2f} GB")


if __name__ == "__main__":
    main()
