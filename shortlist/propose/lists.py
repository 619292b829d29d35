"""Logs whose rows hold several items: lines of a user and a list, or a table with a column of lists."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from shortlist.data.sources import bind
from shortlist.data.sources.csv_types import INTEGER
from shortlist.propose.columns import Column, columns_of
from shortlist.propose.moments import read_moment
from shortlist.propose.roles import ITEMS, USERS, Role, by_name, like_ids, name_score
from shortlist.propose.sample import Sample

_MARKS = (" ", ",", "|", ";")
_ROWS = 5_000
_MANY = 0.3
"""Share of the rows that must hold more than one item for a column of text to be one of lists."""
_ALMOST_ALL, _COME_AGAIN, _LONGEST = 0.95, 0.8, 40


@dataclass(frozen=True)
class Lists:
    """How rows with lists become one row per item; `explode` of the recipe."""

    columns: dict[str, str]
    """Column of the unfolded sample -> the expression that makes it."""
    item: str
    """The column of the unfolded sample."""
    user: str | None
    """None where the names of the columns say it."""
    why: str

    def role(self, name: str | None, columns: Sequence[Column], place: str) -> Role | None:
        """What is known of the user or of the item before the names are looked at."""
        column = next((column for column in columns if column.name == name), None)
        why = "" if column is None else f"{place} of the list; {column.distinct:,} different values in the sample"
        return None if column is None else Role(column, why, sure=False)


@dataclass(frozen=True)
class Unfolded:
    """A sample with one row per event."""

    sample: Sample
    lists: Lists | None = None
    """None where a row is one event."""
    ignored: frozenset[str] = frozenset()
    """Columns of lists beside a column of single items."""


@dataclass(frozen=True)
class _ListColumn:
    """A column of lists of ids, and what separates the ids of a text; None where the type is a list."""

    column: Column
    mark: str | None


def unfold(sample: Sample, user: str | None, item: str | None) -> Unfolded:
    """The sample with one row per event; `user` and `item` are the columns that were given."""
    if sample.dialect.entries is not None:
        return _of_lines(sample, sample.dialect.entries)
    columns = columns_of(sample.frame)
    named = sample.dialect.header is not False
    lists = [found for column in columns if (found := _list_column(column)) is not None]
    if item is not None:
        chosen = next((one for one in lists if one.column.name == item), None)
        return Unfolded(sample) if chosen is None else _exploded(sample, chosen, None)
    plain = [column for column in columns if all(column is not one.column for one in lists)]
    if named:
        lists = [one for one in lists if name_score(one.column, ITEMS) > 0]
    elif len(lists) != 1 or sum(map(like_ids, plain)) > 1:
        lists = []
    if not lists:
        return Unfolded(sample)
    single = by_name(plain, ITEMS, USERS) if named else None
    if single is None:
        return _exploded(sample, lists[0], None)
    who = next((column for column in columns if column.name == user), None)
    by_their_names = by_name([column for column in plain if column is not single.column], USERS, ITEMS)
    who = who or (None if by_their_names is None else by_their_names.column)
    if len(lists) == 1 and who is not None and _comes_before(lists[0], single.column, who):
        return _exploded(sample, lists[0], single.column)
    return Unfolded(sample, ignored=frozenset(one.column.name for one in lists))


def _of_lines(sample: Sample, entries: str) -> Unfolded:
    """Lines like `7 12 5 40`, which are the column `column_1`."""
    first = f"SPLIT_PART(column_1, '{entries}', 1)"
    # From the second entry on; nothing, and not an empty entry, where there is none.
    rest = f"NULLIF(RTRIM(SUBSTR(column_1, LENGTH({first}) + {len(entries) + 1})), '')"
    item = f"STRING_TO_ARRAY({rest}, '{entries}')"
    user, items = (_value(sample, sql) for sql in (first, item))
    if sample.whole and _are_integers(user):
        first = f"CAST({first} AS BIGINT)"
    if sample.whole and _are_integers(items.explode().drop_nulls()):
        item = f"CAST({item} AS BIGINT[])"
    made = {"user": first, "item": item}
    frame = pl.DataFrame({name: _value(sample, sql) for name, sql in made.items()})
    frame = frame.explode("item", empty_as_null=False, keep_nulls=False)
    shown = {" ": "blanks", "\t": "tabs"}.get(entries, f"'{entries}'")
    why = f"a line is a user and a list of items, separated by {shown}; every item is an event"
    return Unfolded(_longer(sample, frame), Lists(made, "item", "user", why))


def _list_column(column: Column) -> _ListColumn | None:
    if isinstance(column.dtype, pl.List):
        inner = column.dtype.inner
        return _ListColumn(column, None) if inner == pl.String or inner.is_integer() else None
    if not column.is_text or column.numbers is not None or column.is_url:
        return None
    head = column.there.head(_ROWS)
    for mark in _MARKS:
        several = head.str.contains(mark, literal=True)
        if not len(head) or float(several.mean()) < _MANY:  # type: ignore[arg-type]
            continue
        parts = head.str.split(mark).explode()
        ids = parts.str.contains(r"^\S*\d\S*$") & (parts.str.len_chars() <= _LONGEST)
        if float(ids.mean()) < _ALMOST_ALL or parts.n_unique() > _COME_AGAIN * len(parts):  # type: ignore[arg-type]
            continue
        return None if read_moment(column) is not None else _ListColumn(column, mark)
    return None


def _comes_before(lists: _ListColumn, single: Column, user: Column) -> bool:
    """Whether a row is all that is known of a user: what the user had before, in a text, and what came next."""
    if lists.mark is None or user.distinct < _ALMOST_ALL * len(user.there):
        return False
    both = pl.DataFrame({"list": lists.column.series, "next": single.series.cast(pl.String)}).drop_nulls()
    inside = both.select(pl.col("list").str.split(lists.mark).list.contains(pl.col("next"))).to_series()
    return float(inside.mean() or 0.0) <= 1 - _ALMOST_ALL  # type: ignore[arg-type]


def _exploded(sample: Sample, lists: _ListColumn, following: Column | None) -> Unfolded:
    column, mark = lists.column, lists.mark
    sql = column.sql
    if mark is not None:
        text = sql if following is None else f"NULLIF(CONCAT_WS('{mark}', {sql}, {following.sql}), '')"
        sql = f"STRING_TO_ARRAY({text}, '{mark}')"
        if sample.whole and _are_integers(_value(sample, sql).explode().drop_nulls()):
            sql = f"CAST({sql} AS BIGINT[])"
    frame = sample.frame.with_columns(_value(sample, sql).alias(column.name))
    frame = frame.explode(column.name, empty_as_null=False, keep_nulls=False)
    if following is not None:
        frame = frame.drop(following.name)
    then = "" if following is None else f", and {following.name} the item after it"
    why = f"{column.name} is a list of items{then}; every item is an event"
    return Unfolded(_longer(sample, frame), Lists({column.name: sql}, column.name, None, why))


def _longer(sample: Sample, frame: pl.DataFrame) -> Sample:
    rows = frame.height if sample.whole else round(sample.rows * frame.height / max(sample.frame.height, 1))
    return dataclasses.replace(sample, frame=frame, rows=rows)


def _value(sample: Sample, sql: str) -> pl.Series:
    expression = bind(sql, sample.frame.schema, where="source.events.0.columns", file=sample.path)
    return sample.frame.select(expression.alias("value")).to_series()


def _are_integers(texts: pl.Series) -> bool:
    return bool(len(texts)) and bool(texts.str.contains(INTEGER).all())
