"""Invented music logs that the benches read: written once, so that runs which are compared read the same bytes."""

from pathlib import Path

import polars as pl

from shortlist.data.sources.synthetic import write_log
from shortlist.recipe import SyntheticSource

DATA = Path(".work/benchmarks")
_LISTENS = "flat/50m/listens.parquet"


def music_log(folder: Path, *, users: int, items: int, events: int, days: int, by_time: bool = False) -> Path:
    """A Yambda-shaped log below `folder`, made unless it is there; sorted by listener, or by time alone."""
    log = folder / f"{'time' if by_time else 'listener'}-{events}-of-{users}-and-{items}"
    if log.exists():
        return log
    making = log.with_name(f".{log.name}")
    write_log(
        making,
        SyntheticSource(kind="synthetic", users=users, items=items, events=events, days=days, dirty=0),
        seed=1,
    )
    if by_time:
        listens = making / _LISTENS
        pl.read_parquet(listens).sort("timestamp", maintain_order=True).write_parquet(listens, compression="lz4")
    return making.rename(log)


def listens(log: Path) -> Path:
    return log / _LISTENS
