"""Small clean tables, as validate leaves them, for the tests of prepare and what reads it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from shortlist.recipe import Recipe, parse_recipe

TEMPORAL = "{kind: temporal, test: 10s, valid: 10s, gap: 0s}"
LEAVE_ONE_OUT = "{kind: leave_one_out}"


def recipe(split: str = TEMPORAL, **blocks: str) -> Recipe:
    """A recipe whose blocks are given as YAML."""
    text = {
        "name": "tried",
        "source": "{kind: synthetic}",
        "split": split,
        "evaluation": "{max_queries: 1000}",
        "ranking": "{enabled: false}",
        **blocks,
    }
    return parse_recipe("\n".join(f"{name}: {value}" for name, value in text.items()))


def write_clean(
    folder: Path,
    events: dict[str, Sequence[Any]] | pl.DataFrame,
    items: dict[str, Any] | None = None,
    users: dict[str, Any] | None = None,
) -> Path:
    """Events with the canonical columns filled up; items and users by default just their ids."""
    table = pl.DataFrame(events)
    for name, value in (("positive", True), ("in_history", True), ("weight", 1.0)):
        if name not in table.columns:
            table = table.with_columns(pl.lit(value).alias(name))
    table = table.with_columns(pl.col("weight").cast(pl.Float32), pl.col("time").cast(pl.Int64))
    folder.mkdir(parents=True, exist_ok=True)
    table.write_parquet(folder / "events.parquet")
    for name, given in (("item", items), ("user", users)):
        ids = table.select(pl.col(f"{name}_id").unique().sort())
        (ids if given is None else pl.DataFrame(given)).write_parquet(folder / f"{name}s.parquet")
    return folder


def random_events(seed: int, *, users: int = 30, items: int = 40, count: int = 600, until: int = 100) -> dict[str, Any]:
    """Events with many ties in time, not all positive, not all in the history, in no order."""
    rng = np.random.default_rng(seed)
    return {
        "user_id": rng.integers(0, users, count) * 7 - 3,
        "item_id": rng.integers(0, items, count) * 3 + 11,
        "time": np.append(rng.integers(0, until, count - 1), until - 1),
        "positive": np.append(rng.random(count - 1) < 0.7, True),
        "in_history": rng.random(count) < 0.8,
        "weight": rng.random(count).astype(np.float32),
    }
