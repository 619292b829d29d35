"""Where the attributes of items and users are: in a table of their own, or in the log, which repeats them."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from shortlist.data.sources.errors import SourceError, missing_column, named
from shortlist.propose.attributes import Attributes, guess_attributes
from shortlist.propose.columns import Column, columns_of
from shortlist.propose.roles import name_score
from shortlist.propose.sample import Sample

_SAME = 0.95
"""Share of the ids that must have one value in all their events for a column of the log to describe them."""
_FOUND = 0.3


@dataclass(frozen=True)
class Described:
    """A table of items or users."""

    sample: Sample
    key: Column
    why: str
    distinct: bool
    """Whether the table repeats its ids."""
    attributes: Attributes


def own_table(
    sample: Sample, events_key: Column, words: dict[int, str], given: str | None, *, items: bool
) -> Described:
    """The attributes of a table that was given. Raises SourceError when no column of it holds the ids of the events."""
    columns = columns_of(sample.frame)
    key, why = _key(columns, sample.path, events_key, words, given, "--item-key" if items else "--user-key")
    repeated = key.distinct < len(key.there)
    rest = [column for column in columns if column is not key]
    return Described(sample, key, why, repeated, guess_attributes(rest, titled=items, described=items))


def from_log(sample: Sample, key: Column, columns: Sequence[Column], *, items: bool) -> Described | None:
    """The columns of the log that say the same of an id in all its events; None when none does."""
    same = [column for column in columns if _depends(column, key)]
    attributes = guess_attributes(same, titled=items, described=items)
    attributes.unused.clear()
    if not attributes:
        return None
    return Described(sample, key, "the log says the same in all its events", distinct=True, attributes=attributes)


def _key(
    columns: Sequence[Column], file: str, events_key: Column, words: dict[int, str], given: str | None, option: str
) -> tuple[Column, str]:
    if given is not None:
        for column in columns:
            if column.name == given:
                return column, f"given by {option}"
        raise missing_column(option, given, file, [column.name for column in columns])
    wanted = events_key.ids.unique()
    scored, floats = [], ""
    for at, column in enumerate(columns):
        if not column.can_be_id and not column.dtype.is_float():
            continue
        shared = float(wanted.is_in(column.ids.implode()).mean() or 0.0)  # type: ignore[arg-type]
        if shared < _FOUND:
            continue
        if not column.can_be_id:
            floats = (
                floats or f". {column.name!r} holds them with a fraction point; if these are whole numbers, pass it"
            )
            continue
        unique = column.distinct / max(len(column.there), 1)
        same_name = column.name == events_key.name
        is_id = name_score(column, words) > 0 or column.words in (["id"], ["key"], ["code"])
        scored.append(((same_name, round(unique, 2), is_id, round(shared, 2), -at), column, shared))
    if not scored:
        raise SourceError(
            f"{file}: no column holds the ids of the events' {events_key.name!r} (like "
            f"{named([str(one) for one in events_key.there.head(3).to_list()])}); its columns are: "
            f"{named(column.name for column in columns)}. Pass {option} COLUMN, or leave the file out; "
            f"if another file has both ids, see `join` in recipes/products.yaml{floats}"
        )
    _, best, shared = max(scored, key=lambda one: one[0])
    return best, f"{shared:.0%} of the ids of the events are in it"


def _depends(column: Column, key: Column) -> bool:
    """Whether the ids that have several events have one value of the column each, and not all the same."""
    if column.distinct < 2 or column.dtype.is_nested() or column.distinct > key.distinct:
        return False
    pairs = pl.DataFrame({"key": key.series, "value": column.series}).drop_nulls()
    counts = pairs.group_by("key").agg(rows=pl.len(), values=pl.col("value").n_unique()).filter(pl.col("rows") > 1)
    return counts.height >= 5 and bool((counts["values"] == 1).mean() >= _SAME)  # type: ignore[operator]
