"""The clean events: totals over all of them, and their rows by ranges of users."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.tables import LABEL, scan_file
from shortlist.dataset.encode import common_key_type, rows_of, vocabulary_of
from shortlist.dataset.split import Splitter, columns_of, splitter_of
from shortlist.features.vocabulary import Vocabulary
from shortlist.progress import say
from shortlist.ragged import row_blocks
from shortlist.recipe import Recipe

_BYTES_PER_EVENT = 280
"""Of one event while its range is sorted and written, without context columns; half as much again as was measured,
for ids that are text."""
_COLUMNS = ("user_id", "item_id", "time", "positive", "in_history", "weight")


@dataclass(frozen=True)
class Entities:
    """The items, or the users: the rows of their table, and the vocabulary of all of their ids."""

    kind: Literal["item", "user"]
    table: pl.LazyFrame
    described: int
    vocabulary: Vocabulary


@dataclass(frozen=True)
class CleanEvents:
    """The clean events of a recipe, in memory when they fit and read again for every range of users when not."""

    folder: Path
    table: pl.LazyFrame
    in_memory: bool
    """Whether they are in memory."""
    max_in_memory: int
    """How many events fit into the memory that the recipe allows."""
    num_events: int
    num_in_history: int
    splitter: Splitter

    @classmethod
    def scan(cls, recipe: Recipe, folder: Path) -> "CleanEvents":
        """Raises ValueError when a column is missing, there is no positive, or a window of the split has none."""
        path = folder / "events.parquet"
        table = scan_file(path)
        labels = [LABEL + name for name in recipe.interactions.labels]
        wanted = [*_COLUMNS, *labels, *columns_of(recipe.split), *context_names(recipe)]
        have = table.collect_schema().names()
        missing = [name for name in wanted if name not in have]
        if missing:
            raise ValueError(f"{path}: no column {', '.join(missing)}; there are {', '.join(have)}")
        table = table.select(wanted)
        max_in_memory = max(int(recipe.resources.of("prepare").memory_gb * 2**30 / _bytes_per_event(recipe)), 1)
        count: int = table.select(pl.len()).collect().item()
        if count == 0:
            raise ValueError(f"{path}: there are no events")
        if count <= max_in_memory:
            table = table.collect().rechunk().lazy()
        time, positive = pl.col("time"), pl.col("positive")
        totals = table.select(pl.col("in_history").sum(), positive.sum(), time.min().alias("first"), time.max())
        in_history, positives, first, last = totals.collect(engine="streaming").row(0)
        if positives == 0:
            raise ValueError(
                f"interactions.positive: {recipe.interactions.positive!r} is true for none of the {count} events, so "
                "there is nothing to learn"
            )
        for name, condition in recipe.interactions.labels.items():
            if not table.select(pl.col(LABEL + name).any()).collect(engine="streaming").item():
                raise ValueError(
                    f"interactions.labels.{name}: {condition!r} is true for none of the {count} events, so there is "
                    "nothing to learn; relax the condition, or remove the label"
                )
        splitter = splitter_of(recipe, table, first, last)
        return cls(folder, table, count <= max_in_memory, max_in_memory, count, in_history, splitter)

    def entities(self, kind: Literal["item", "user"]) -> Entities:
        """Every id of the items (users) table and of the events."""
        column = f"{kind}_id"
        table = scan_file(self.folder / f"{kind}s.parquet").filter(pl.col(column).is_not_null())
        key = common_key_type(column, self.table.collect_schema()[column], table.collect_schema()[column])
        ids = pl.col(column).cast(key)
        met = self.table.select(ids if self.in_memory else ids.unique()).collect(engine="streaming")[column]
        described = table.select(ids).collect()[column]
        vocabulary = vocabulary_of(pl.concat([met, described]), column)
        say(f"prepare: {vocabulary.num_rows - 1} {kind}s, {len(described)} of them described")
        return Entities(kind, table, len(described), vocabulary)

    def first_times(self, items: Vocabulary) -> NDArray[np.int64]:
        """Time of the first event of each item row, the greatest int64 for items without one, [N]."""
        table = self.table
        if not self.in_memory:
            table = table.group_by("item_id").agg(pl.col("time").min())
        events = table.select("item_id", "time").collect(engine="streaming")
        first_N = np.full(items.num_rows, np.iinfo(np.int64).max)
        np.minimum.at(first_N, rows_of(events["item_id"], items), events["time"].to_numpy())
        return first_N

    def user_ranges(self, users: Vocabulary) -> Iterator[tuple[int, int, pl.DataFrame]]:
        """First and last user row of each range, and its events in the order of the table."""
        if self.in_memory:
            yield 1, users.num_rows - 1, self.table.collect()
            return
        found = self.table.group_by("user_id").len().collect(engine="streaming")
        count = np.zeros(users.num_rows, np.int64)
        count[rows_of(found["user_id"], users)] = found["len"].to_numpy()
        user_id = pl.col("user_id").cast(pl.Int64 if users.integers else pl.String)
        for first, stop in row_blocks(count, self.max_in_memory, first=1):
            last = stop - 1
            low, high = users.values(np.array([first, last]))
            yield (
                first,
                last,
                self.table.filter(user_id.is_between(pl.lit(low), pl.lit(high))).collect(engine="streaming"),
            )


def context_names(recipe: Recipe) -> list[str]:
    """The columns of the events that are context."""
    spec = recipe.features.context
    return list(dict.fromkeys([*(one.name for one in spec.categorical), *spec.numeric]))


def _bytes_per_event(recipe: Recipe) -> int:
    spec = recipe.features.context
    context = 48 * sum(one.max_values for one in spec.categorical) + 24 * len(spec.numeric) + 16 * len(spec.clock)
    return _BYTES_PER_EVENT + context + 4 * len(recipe.interactions.labels)
