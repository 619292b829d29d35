"""How long validation takes, and how much memory: python -m benchmarks.validate [events ...]

Each size runs in a process of its own, on a table with half a percent of dirty rows, one user with a million events
when there are that many, and the default contract with a range on one more column.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from shortlist.recipe import parse_recipe
from shortlist.step_result import run_step

_RECIPE = """
name: benchmark
source: {kind: files, events: [{path: events.parquet}], items: {path: items.parquet}}
split: {kind: leave_one_out}
contract:
  latest: "2024-01-01"
  columns: {ratio: {min: 0, max: 100}}
"""
_ITEMS = 100_000


def write_tables(folder: Path, events: int) -> None:
    """Canonical tables, music-like in their columns and in how often users and items occur."""
    random = np.random.default_rng(0)
    heavy = 1_000_000 if events >= 2_000_000 else events // 4
    users = np.concatenate([np.zeros(heavy, np.int64), (50_000 * random.random(events - heavy) ** 2).astype(np.int64)])
    table = pl.DataFrame(
        {
            "user_id": random.permutation(users),
            "item_id": (_ITEMS * random.random(events) ** 3).astype(np.int64),
            "time": 1_600_000_000 + np.sort(random.integers(0, 80_000_000, events)),
            "positive": random.random(events) < 0.6,
            "in_history": random.random(events) < 0.6,
            "weight": np.ones(events, np.float32),
            "ratio": random.integers(0, 101, events),
        }
    )
    dirty = random.random(events)
    table = table.with_columns(
        pl.when(pl.Series(dirty < 0.002)).then(None).otherwise("user_id").alias("user_id"),
        pl.when(pl.Series((dirty > 0.002) & (dirty < 0.004))).then(2_000_000_000).otherwise("time").alias("time"),
        pl.when(pl.Series((dirty > 0.004) & (dirty < 0.005))).then(float("nan")).otherwise("weight").alias("weight"),
    )
    table.write_parquet(folder / "events.parquet", compression="lz4", row_group_size=500_000)
    pl.DataFrame({"item_id": np.arange(_ITEMS)}).write_parquet(folder / "items.parquet")
    pl.DataFrame({"user_id": np.arange(50_000)}).write_parquet(folder / "users.parquet")


def measure(folder: Path) -> None:
    """One run over the tables of a folder, in this process."""
    start = time.perf_counter()
    from shortlist.data.validate import validate  # noqa: PLC0415 - the import is a part of what a step costs

    imported = time.perf_counter() - start
    recipe = parse_recipe(_RECIPE)
    outs = folder / "clean", folder / "quarantine", folder / "docs.html"
    before = time.process_time()
    done = run_step("validate", lambda: validate(recipe, folder, *outs), folder / "record.json")
    cpu = time.process_time() - before
    rows = done.result.rows_in["events"]
    sys.stdout.write(
        f"{rows:>11,} events  {done.seconds:6.1f} s  {cpu:6.1f} s of CPU  (import {imported:.1f} s)  "
        f"{done.peak_memory_mb:6.0f} MB  {rows / done.seconds:,.0f} events/s\n"
    )


def main() -> None:
    if sys.argv[1:2] == ["--in"]:
        measure(Path(sys.argv[2]))
        return
    for events in [int(float(text)) for text in sys.argv[1:]] or [1_000_000, 10_000_000]:
        with tempfile.TemporaryDirectory() as folder:
            # Written by another process, so that the memory of this one is the validation's alone.
            write = f"from benchmarks.validate import *; write_tables(Path({folder!r}), {events})"
            subprocess.run([sys.executable, "-c", write], check=True)
            subprocess.run([sys.executable, "-m", "benchmarks.validate", "--in", folder], check=True)


if __name__ == "__main__":
    main()
