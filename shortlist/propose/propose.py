"""From the paths of a log and of what describes it to a proposal."""

import datetime as dt
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import polars as pl

from shortlist.data.sources import SourceError, bind
from shortlist.data.sources.plain import unpacked_name
from shortlist.propose.columns import Column, columns_of
from shortlist.propose.describe import Described, from_log, own_table
from shortlist.propose.lists import unfold
from shortlist.propose.meaning import Meaning, guess_meaning
from shortlist.propose.proposal import Proposal
from shortlist.propose.roles import ITEMS, USERS, Roles, find_roles
from shortlist.propose.sample import Sample, look
from shortlist.propose.sizes import guess_split, measure, model_sizes

_OLD = 788_918_400
"""1995, before which a contract takes times for wrong ones unless it says so."""
_NULLS = 0.02
_SHORT = 2
"""A file's name of so many letters, like `u.data`, gives way to that of its folder."""


@dataclass(frozen=True)
class ProposalRequest:
    """What the user gives: paths, and what is not to be guessed."""

    events: str
    items: str | None = None
    users: str | None = None
    user: str | None = None
    item: str | None = None
    time: str | None = None
    item_key: str | None = None
    user_key: str | None = None
    separator: str | None = None
    encoding: str | None = None


def propose(asked: ProposalRequest, scratch: Path) -> Proposal:
    """Look at the tables and propose a recipe's contents. Raises SourceError with the place and the mend."""
    sample = look(asked.events, scratch / "events", encoding=asked.encoding, separator=asked.separator)
    log = unfold(sample, asked.user, asked.item)
    sample, lists = log.sample, log.lists
    columns = columns_of(sample.frame)
    roles = find_roles(
        [column for column in columns if column.name not in log.ignored],
        asked.events,
        named_columns=sample.dialect.header is not False,
        user=asked.user,
        item=asked.item,
        time=asked.time,
        known_user=None if lists is None else lists.role(lists.user, columns, "the first entry"),
        known_item=None if lists is None else lists.role(lists.item, columns, "the entries"),
    )
    if roles.user.column is roles.item.column:
        raise SourceError(f"{asked.events}: user and item are both {roles.user.column.name!r}; pass --user and --item")
    taken = [roles.user.column, roles.item.column]
    taken += [column for column in (roles.clock, None if roles.time is None else roles.time.column) if column]
    rest = [column for column in columns if column not in taken]
    meaning = guess_meaning(rest, named_columns=sample.dialect.header is not False)
    rest = [column for column in rest if column is not meaning.column]
    time = None if roles.moment is None else roles.moment.seconds
    positive = _positive(sample, meaning)
    volume = measure(roles.user.column, roles.item.column, time, positive, sample.rows)
    # The rows of a log with lists describe no single item.
    of_items = rest if lists is None else []
    items = _described(asked.items, sample, roles.item.column, of_items, asked.item_key, scratch, items=True)
    used = set() if items is None or asked.items else {column.name for column in rest} & _read_by(items)
    users = _described(
        asked.users,
        sample,
        roles.user.column,
        [column for column in rest if column.name not in used],
        asked.user_key,
        scratch,
        items=False,
    )
    used |= set() if users is None or asked.users else _read_by(users)
    split = guess_split(roles.user.column, roles.item.column, time, positive, whole=sample.whole, ordered=roles.ordered)
    idle = _idle(roles.item.column, items) if asked.items and sample.whole else 0.0
    return Proposal(
        name=name_of(asked.events),
        events=sample,
        roles=roles,
        meaning=meaning,
        split=split,
        volume=volume,
        sizes=model_sizes(volume, split, ordered=roles.ordered, idle=idle),
        items=items,
        users=users,
        where=_where(roles),
        earliest=_earliest(time),
        unreferenced=_unreferenced(roles.item.column, items if asked.items else None),
        idle=idle,
        clock=time is not None and _tells_hours(time),
        unused=[column.name for column in rest if column.name not in used],
        lists=lists,
    )


def name_of(path: str) -> str:
    """A recipe's name from a path: `s3://shop/Events 2024.csv.gz` -> `events-2024`."""
    parts = [part for part in path.rstrip("/").split("/") if part]
    stems = [PurePosixPath(unpacked_name(part)).stem for part in parts[-1:]] + parts[-2:-1]
    plain = [re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:63].strip("-") for stem in stems]
    return next((name for name in plain if len(name) > _SHORT), "recommender")


def _described(
    path: str | None, events: Sample, key: Column, rest: list[Column], given: str | None, scratch: Path, *, items: bool
) -> Described | None:
    if path is None:
        return from_log(events, key, rest, items=items)
    table = look(path, scratch / ("items" if items else "users"))
    return own_table(table, key, ITEMS if items else USERS, given, items=items)


def _read_by(described: Described) -> set[str]:
    attributes = described.attributes
    title = [] if attributes.title is None else [attributes.title]
    named = [*attributes.text, *attributes.numeric, *title, *(one.name for one in attributes.categorical)]
    inside = {match for sql in attributes.expressions.values() for match in re.findall(r'"([^"]+)"|(\w+)', sql)}
    return set(named) | {part for pair in inside for part in pair if part}


def _positive(sample: Sample, meaning: Meaning) -> pl.Series:
    expression = bind(meaning.positive, sample.frame.schema, where="interactions.positive", file=sample.path)
    value = expression.fill_null(value=False).alias("positive")
    return sample.frame.with_columns(value)["positive"]


def _where(roles: Roles) -> tuple[str, str] | None:
    """Rows without a user or an item are left out on purpose where they are many: in quarantine they stop the run."""
    lacking = [role.column for role in (roles.user, roles.item) if role.column.null_share > _NULLS]
    if not lacking:
        return None
    why = " and ".join(f"{column.null_share:.1%} of the rows have no {column.name}" for column in lacking)
    return " AND ".join(f"{column.sql} IS NOT NULL" for column in lacking), f"{why}; they are left out."


def _earliest(time: pl.Series | None) -> str | None:
    first = None if time is None else time.min()
    if not isinstance(first, int) or first >= _OLD:
        return None
    return (dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(seconds=first)).date().isoformat()


def _unreferenced(key: Column, items: Described | None) -> float:
    if items is None:
        return 0.0
    return 1.0 - float(key.ids.is_in(items.key.ids.implode()).mean() or 0.0)  # type: ignore[arg-type]


def _idle(key: Column, items: Described | None) -> float:
    return 0.0 if items is None else 1.0 - float(items.key.ids.is_in(key.ids.implode()).mean() or 0.0)  # type: ignore[arg-type]


def _tells_hours(time: pl.Series) -> bool:
    """Whether the times have an hour and go over a week."""
    there = time.drop_nulls()
    if not len(there):
        return False
    hours = (there % 86_400 // 3_600).n_unique()
    return hours >= 6 and int(there.max()) - int(there.min()) > 7 * 86_400  # type: ignore[arg-type]
