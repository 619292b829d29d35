"""Which events train and which judge: one splitter for each kind of `split` in the recipe.

| `split.kind` | with times | without order |
|---|---|---|
| `temporal` | `TemporalSplitter` | |
| `leave_one_out` | `LeaveOneOutSplitter` | `RandomLeaveOneOutSplitter` |
| `given` | `GivenSplitter` | `UnorderedGivenSplitter` |

Parts of a sample: 0 left out, 1 train, 2 validation, 3 test.
"""

from typing import assert_never

import polars as pl

from shortlist.dataset.split.given import GivenSplitter, UnorderedGivenSplitter, check_given
from shortlist.dataset.split.leave_one_out import LeaveOneOutSplitter, RandomLeaveOneOutSplitter
from shortlist.dataset.split.parts import LEFT_OUT, TEST, TRAIN, VALID
from shortlist.dataset.split.splitter import SplitEvents, Splitter, UserEvents
from shortlist.dataset.split.temporal import TemporalSplitter, Windows
from shortlist.recipe import GivenSplit, LeaveOneOutSplit, Recipe, TemporalSplit
from shortlist.recipe.data import Split

__all__ = [
    "LEFT_OUT",
    "TEST",
    "TRAIN",
    "VALID",
    "SplitEvents",
    "Splitter",
    "TemporalSplitter",
    "UserEvents",
    "Windows",
    "columns_of",
    "splitter_of",
]


def columns_of(split: Split) -> tuple[str, ...]:
    """Columns of the clean events that this kind of split reads beside those that every kind does."""
    return ("part",) if isinstance(split, GivenSplit) else ()


def splitter_of(recipe: Recipe, events: pl.LazyFrame, first: int, last: int) -> Splitter:
    """The splitter of a recipe for these clean events, of times `first` to `last`.

    Raises ValueError when they cannot be split that way, with what to change.
    """
    ordered = recipe.interactions.ordered
    match recipe.split:
        case TemporalSplit():
            return TemporalSplitter.cut(recipe.split, events, first, last)
        case LeaveOneOutSplit():
            return LeaveOneOutSplitter() if ordered else RandomLeaveOneOutSplitter(recipe.seed)
        case GivenSplit(valid=valid):
            check_given(events, recipe.split)
            if ordered:
                assert not isinstance(valid, float), "the recipe has checked it"
                return GivenSplitter(valid)
            assert valid != "last", "the recipe has checked it"
            return UnorderedGivenSplitter(valid, recipe.seed)
        case _:
            assert_never(recipe.split)
