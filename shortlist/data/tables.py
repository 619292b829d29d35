"""The canonical tables, which every source is converted to, and atomic writing of their folder.

    events.parquet   one row per event, in the order read
    items.parquet    one row per item: item_id, the item columns of the recipe, and `AVAILABLE` if the source has them
    users.parquet    one row per user: user_id and the user columns of the recipe

Columns of events: those of `EVENT_COLUMNS`, then the recipe's context columns and the columns that its contract has
rules for, each under its own name. A value that does not have the type of its column is null; the contract checks it.
Categorical columns are Int64, Float64, Boolean, String, or lists of them; numeric ones Float64; an embedding is a list
of Float32.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import polars as pl

from shortlist.recipe import Recipe
from shortlist.recipe.model import ContextFeatures, ItemFeatures, UserFeatures

Table = Literal["events", "items", "users"]
Kind = Literal["categorical", "numeric", "embedding", "title", "text", "raw"]

EVENT_COLUMNS = {
    "user_id": "Int64 or String, the user",
    "item_id": "Int64 or String, the item",
    "time": "Int64 seconds since the epoch (UTC), or the row number if time_unit is row",
    "positive": "Boolean, never null: whether the event is a positive",
    "in_history": "Boolean, never null: whether the event is part of the user's history",
    "label.<name>": "Boolean, never null: whether the event has a label of interactions.labels; only if it has any",
    "weight": "Float32, the weight of the event in training",
    "part": "String, the part of the event in a given split; only if split.kind is given",
}

LABEL = "label."
"""The prefix of the columns of events that are labels."""

TIME_AS_READ = "time_as_read"
"""Column of events if times are text: text that is not a time, otherwise null. Only the quarantine keeps it."""


AVAILABLE = ("available_from", "available_until")
"""Optional columns of items, Int64 seconds since the epoch: from when an item is a candidate, and until when. Null is
from the item's first event, and for ever; `UNREADABLE` stands for a value that is not a time."""
UNREADABLE = -(2**63)


@dataclass(frozen=True)
class Wanted:
    """A column that the recipe uses, and where."""

    name: str
    kind: Kind
    where: str
    """The YAML path of the use."""


def path(folder: Path, table: Table) -> Path:
    return folder / f"{table}.parquet"


def scan(folder: Path, table: Table) -> pl.LazyFrame:
    """A canonical table as a lazy frame."""
    return scan_file(path(folder, table))


def scan_file(file: Path) -> pl.LazyFrame:
    """One of our Parquet files; its path may contain wildcard characters."""
    return pl.scan_parquet(file, glob=False, hive_partitioning=False)


def wanted_columns(recipe: Recipe, table: Table) -> list[Wanted]:
    """The non-canonical columns of a table that the recipe uses, each once."""
    blocks = {"events": recipe.features.context, "items": recipe.features.item, "users": recipe.features.user}
    features = cast(ContextFeatures | ItemFeatures | UserFeatures, blocks[table])
    at = {"events": "features.context", "items": "features.item", "users": "features.user"}[table]
    found = []
    if table == "events":
        found = [Wanted(name, "raw", f"contract.columns.{name}") for name in recipe.contract.columns]
    listed = []
    if not isinstance(features, ContextFeatures) and features.text is not None:
        listed = [Wanted(name, "text", f"{at}.text.columns.{i}") for i, name in enumerate(features.text.columns)]
    listed += [
        Wanted(field.name, "categorical", f"{at}.categorical.{i}") for i, field in enumerate(features.categorical)
    ]
    listed += [Wanted(name, "numeric", f"{at}.numeric.{i}") for i, name in enumerate(features.numeric)]
    if table == "items":
        item = recipe.features.item
        if item.embedding is not None:
            listed.append(Wanted(item.embedding.name, "embedding", f"{at}.embedding"))
        if item.title is not None:
            listed.append(Wanted(item.title, "title", f"{at}.title"))
    keys = {"events": list(EVENT_COLUMNS), "items": ["item_id", *AVAILABLE], "users": ["user_id"]}[table]
    # The kind of a feature takes precedence over the contract's raw column, and every other kind over text.
    unique = {column.name: column for column in [*found, *listed]}
    return [column for name, column in unique.items() if name not in keys]


@contextmanager
def new_folder(out: Path) -> Iterator[tuple[Path, Path]]:
    """A folder that appears at `out` completely or not at all, and a temporary scratch folder.

    An existing `out` is replaced when the block ends without an exception.
    """
    out = Path(os.path.abspath(out))  # noqa: PTH100 - resolve() would follow a link that is to be replaced
    partial, scratch, old = (out.with_name(f".{out.name}.{kind}") for kind in ("partial", "scratch", "old"))
    for left in (partial, scratch, old):
        shutil.rmtree(left, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        scratch.mkdir()
        yield partial, scratch
        if out.exists():
            out.rename(old)
        partial.rename(out)
    finally:
        for left in (partial, scratch, old):
            shutil.rmtree(left, ignore_errors=True)


class FullDiskError(ValueError):
    """The disk is full."""


@contextmanager
def disk_errors(writing: Path) -> Iterator[None]:
    """Turn a full disk, met by Python or inside Polars, into a FullDiskError that names the folder."""
    try:
        yield
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if full or "No space left on device" in str(error) or "Disk quota exceeded" in str(error):
            raise FullDiskError(
                f"{writing}: the disk is full; nothing was written there. Free some space or choose another folder"
            ) from None
        raise


@contextmanager
def memory_budget(gigabytes: float) -> Iterator[None]:
    """Make Polars hold at most half of `gigabytes` of intermediate data and spill the rest to its temporary folder.

    The other half is for what streams through and for Python. Polars takes this setting from the environment only.
    """
    name = "POLARS_OOC_MEMORY_BUDGET_MB"
    before = os.environ.get(name)
    try:
        os.environ[name] = str(max(int(gigabytes * 1024 / 2), 16))
        pl.Config.reload_env_vars()
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
        pl.Config.reload_env_vars()
