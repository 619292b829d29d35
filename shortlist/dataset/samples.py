"""Events of a range of users to samples in the order of user, time and row, a block of users at a time.

Blocks are small enough for the processor's cache and independent of each other, so that two threads make them while a
third writes; they come out in order, and what they hold does not depend on where they are cut.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.cpus import available_cpus
from shortlist.data.tables import LABEL
from shortlist.dataset.evaluation_queries import QueryRows, build_queries
from shortlist.dataset.prepared import LABELS
from shortlist.dataset.split import TEST, TRAIN, VALID, Splitter, UserEvents, columns_of
from shortlist.dataset.split.given import given_parts
from shortlist.dataset.split.parts import keep_latest
from shortlist.features import encode_clock
from shortlist.features.availability import Availability
from shortlist.ragged import row_blocks
from shortlist.recipe import Recipe

_BLOCK = 1 << 19


@dataclass(frozen=True)
class UserRange:
    """Encoded events of user rows `first_user` to `last_user`, in the order of the table."""

    first_user: int
    last_user: int
    user: NDArray[np.int32]
    item: NDArray[np.int32]
    table: pl.DataFrame
    context: dict[str, NDArray[Any]]
    first_sample: int
    """Samples and history events of all users before."""
    first_history: int


@dataclass(frozen=True)
class SampleBlock:
    """Samples of some users; `columns` as in `prepared.SAMPLE_COLUMNS`, and `history_times` and the context."""

    columns: dict[str, NDArray[Any]]
    history_items: NDArray[np.int32]
    queries: dict[int, QueryRows]
    """Queries of the validation and of the test."""

    @property
    def trains(self) -> NDArray[np.bool_]:
        """Which samples are train positives."""
        return np.asarray(self.columns["label"] & (self.columns["part"] == TRAIN))


@dataclass(frozen=True)
class SampleBuilder:
    """How events become samples."""

    splitter: Splitter
    reads_part: bool
    """Whether the data gives the parts."""
    mask_seen: bool
    available: Availability
    clock: Sequence[Literal["hour", "weekday"]]
    labels: Sequence[str]
    max_per_user: int | None

    @classmethod
    def of(cls, recipe: Recipe, splitter: Splitter, available: Availability) -> "SampleBuilder":
        return cls(
            splitter,
            "part" in columns_of(recipe.split),
            recipe.evaluation.mask_seen,
            available,
            recipe.features.context.clock,
            list(recipe.interactions.labels),
            recipe.split.max_per_user,
        )

    def blocks(self, events: UserRange) -> Iterator[SampleBlock]:
        """The samples of a range, block after block."""
        within = events.user - np.int32(events.first_user)
        num_users = events.last_user - events.first_user + 1
        count = np.bincount(within, minlength=num_users)
        in_history = events.table["in_history"].to_numpy()
        history = np.bincount(within[in_history], minlength=num_users)
        samples_before, history_before = np.append(0, np.cumsum(count)), np.append(0, np.cumsum(history))
        blocks = list(row_blocks(count, _BLOCK))
        lengths = [stop - first for first, stop in blocks]
        # Few small numbers, which numpy sorts by counting.
        numbers = np.repeat(np.arange(len(blocks), dtype=np.uint16), lengths)
        by_block = np.argsort(numbers.take(within), kind="stable") if len(blocks) > 1 else np.arange(len(within))
        time, positive, weight = (events.table[name].to_numpy() for name in ("time", "positive", "weight"))
        labels = {name: events.table[LABEL + name].to_numpy() for name in self.labels}
        given_part = given_parts(events.table["part"]) if self.reads_part else None

        def block(users: tuple[int, int]) -> SampleBlock:
            first, stop = users
            at = by_block[samples_before[first] : samples_before[stop]]
            first_sample = int(events.first_sample + samples_before[first])
            first_history = int(events.first_history + history_before[first])
            split = self.splitter.split(
                UserEvents(
                    first_user=events.first_user + first,
                    num_users=stop - first,
                    user=events.user.take(at),
                    item=events.item.take(at),
                    time=time.take(at),
                    positive=positive.take(at),
                    in_history=in_history.take(at),
                    given_part=None if given_part is None else given_part.take(at),
                )
            )
            line, part = split.line, split.part
            at = at.take(line.order)
            item, label = events.item.take(at), positive.take(at)
            if self.max_per_user is not None:
                part = keep_latest(part, label, line.bounds, self.max_per_user)
            labelled = {name: values.take(at) for name, values in labels.items()}
            queries = {
                kind: build_queries(
                    line,
                    item,
                    label & (part == kind),
                    labelled={name: values & (part == kind) for name, values in labelled.items()},
                    query_time=self.splitter.query_time(kind),
                    gap=self.splitter.gap,
                    mask_seen=self.mask_seen,
                    available=self.available,
                    first_sample=first_sample,
                    first_history=first_history,
                )
                for kind in (VALID, TEST)
            }
            columns: dict[str, NDArray[Any]] = {
                "user": line.user,
                "item": item,
                "time": line.time,
                "label": label,
                "weight": weight.take(at),
                "start": np.repeat(line.history_bounds[:-1] + first_history, np.diff(line.bounds)),
                "end": split.end + first_history,
                "part": part,
                "history_times": line.time[line.in_history],
            }
            columns |= {f"{LABELS}/{name}": values for name, values in labelled.items()}
            columns |= {name: values.take(at, axis=0) for name, values in events.context.items()}
            columns |= {f"context/clock.{unit}": encode_clock(line.time, unit) for unit in self.clock}
            return SampleBlock(columns, item[line.in_history], queries)

        with ThreadPoolExecutor(min(available_cpus(), 4)) as pool:
            yield from pool.map(block, blocks)
