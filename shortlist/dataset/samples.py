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
from shortlist.dataset.cleaned import runs
from shortlist.dataset.evaluation_queries import QueryRows, queries
from shortlist.dataset.given import Given
from shortlist.dataset.split import TEST, TRAIN, VALID, Windows, leave_one_out_parts
from shortlist.dataset.timeline import Timeline, timeline
from shortlist.features import encode_clock
from shortlist.features.availability import Availability
from shortlist.recipe import Recipe, TemporalSplit

_BLOCK = 1 << 19


@dataclass(frozen=True)
class Range:
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
class Block:
    """Samples of some users; `columns` as in `prepared.SAMPLE_COLUMNS`, and `history_times` and the context."""

    columns: dict[str, NDArray[Any]]
    history_items: NDArray[np.int32]
    asked: dict[int, QueryRows]
    """Queries of the validation and of the test."""

    @property
    def trains(self) -> NDArray[np.bool_]:
        """Which samples are train positives."""
        return np.asarray(self.columns["label"] & (self.columns["part"] == TRAIN))


@dataclass(frozen=True)
class Sampler:
    """How events become samples."""

    windows: Windows | None
    given: Given | None
    gap: int
    mask_seen: bool
    available: Availability
    clock: Sequence[Literal["hour", "weekday"]]

    @classmethod
    def of(cls, recipe: Recipe, windows: Windows | None, available: Availability) -> "Sampler":
        gap = recipe.split.gap if isinstance(recipe.split, TemporalSplit) else 0
        return cls(
            windows, Given.of(recipe), gap, recipe.evaluation.mask_seen, available, recipe.features.context.clock
        )

    def blocks(self, events: Range) -> Iterator[Block]:
        """The samples of a range, block after block."""
        within = events.user - np.int32(events.first_user)
        num_users = events.last_user - events.first_user + 1
        count = np.bincount(within, minlength=num_users)
        in_history = events.table["in_history"].to_numpy()
        history = np.bincount(within[in_history], minlength=num_users)
        samples_before, history_before = np.append(0, np.cumsum(count)), np.append(0, np.cumsum(history))
        blocks = list(runs(count, 0, _BLOCK))
        lengths = [last - first + 1 for first, last in blocks]
        # Few small numbers, which numpy sorts by counting.
        numbers = np.repeat(np.arange(len(blocks), dtype=np.uint16), lengths)
        by_block = np.argsort(numbers.take(within), kind="stable") if len(blocks) > 1 else np.arange(len(within))
        time, positive, weight = (events.table[name].to_numpy() for name in ("time", "positive", "weight"))

        windows, given = self.windows, self.given
        codes = None if given is None else given.told(events.table)
        starts = {VALID: windows.valid_start, TEST: windows.test_start} if windows else {VALID: None, TEST: None}

        def block(users: tuple[int, int]) -> Block:
            first, last = users
            at = by_block[samples_before[first] : samples_before[last + 1]]
            first_sample = int(events.first_sample + samples_before[first])
            first_history = int(events.first_history + history_before[first])
            user, when = events.user.take(at), time.take(at)
            part = None if codes is None else codes.take(at)
            if given is not None and not given.ordered:
                assert part is not None
                part = given.drawn(user, events.item.take(at), positive.take(at), part)
                when = part.astype(np.int64) - TRAIN
            line = timeline(user, when, in_history.take(at), events.first_user + first, last - first + 1)
            at = at.take(line.order)
            item, label = events.item.take(at), positive.take(at)
            part = self._parts(line, label, None if part is None else part.take(line.order))
            end = line.end
            if given is not None and not given.ordered:
                # All that the user has in train, the sample's own item among it: the batches leave that out.
                end = np.where(part == TRAIN, np.repeat(line.history_before(1), np.diff(line.bounds)), end)
            asked = {
                kind: queries(
                    line,
                    item,
                    label & (part == kind),
                    asked_at=starts[kind],
                    gap=self.gap,
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
                "end": end + first_history,
                "part": part,
                "history_times": line.time[line.in_history],
            }
            columns |= {name: values.take(at, axis=0) for name, values in events.context.items()}
            columns |= {f"context/clock.{unit}": encode_clock(line.time, unit) for unit in self.clock}
            return Block(columns, item[line.in_history], asked)

        with ThreadPoolExecutor(min(available_cpus(), 4)) as pool:
            yield from pool.map(block, blocks)

    def _parts(self, line: Timeline, label: NDArray[np.bool_], given: NDArray[np.int8] | None) -> NDArray[np.int8]:
        """The part of each sorted event, `given` by the data or not."""
        if self.windows is not None:
            return self.windows.parts(line.time)
        if self.given is None or given is None:
            return leave_one_out_parts(line.bounds, line.time, label)
        return self.given.ordered_parts(line.bounds, line.time, label, given) if self.given.ordered else given
