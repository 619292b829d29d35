"""Which items may be recommended now, from a file that other systems write (`serving.availability`).

The file overrides the availability of the release for the items that it names; all others keep it. A line may say
whether an item is `available`, how many are in `stock`, and from when until when it is available; an empty cell says
nothing, and a line of empty cells names no item. Of several lines of one item the last one counts.

Shapes: N item rows.
"""

import csv
import io
import math
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from shortlist.features import FeatureStore
from shortlist.features.availability import ALWAYS, FOREVER, Availability
from shortlist.recipe import AvailabilityFile as Settings
from shortlist.recipe.serve import AvailabilityColumn
from shortlist.storage import Storage, open_storage

_BLOCK = 1_000
"""Lines that are read at a time: a few milliseconds."""
_LATEST = 2**40
"""Seconds; a later time is one in milliseconds."""
_MAGIC = b"PAR1"
_TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class AvailabilityError(ValueError):
    """A file that cannot be used; the message has its place and what to do."""


class Loaded(NamedTuple):
    """What a file says."""

    available: Availability
    num_items: int
    """Items of the release that the file names."""


class AvailabilityFile:
    """The file of one release, and what was last read of it."""

    def __init__(self, settings: Settings, store: FeatureStore) -> None:
        """Nothing is read yet. Raises ValueError for an address of an unknown kind."""
        self.path = settings.path
        self._columns = {name: settings.columns.get(name, name) for name in get_args(AvailabilityColumn)}
        self._store = store
        self._storage, self._key = _place(settings.path)
        self._stamp: str | None = None

    def read_if_changed(self, idle: float = 0.0) -> Loaded | None:
        """The content, or None if it is the one that was last read, which is found out without reading it.

        After every few milliseconds of work it waits `idle` times as long, for the other threads of a service.
        Raises AvailabilityError and StorageError (an OSError); the next call then reads the file again.
        """
        stamp = self._storage.stamp(self._key)
        if stamp == self._stamp:
            return None
        self._stamp = None
        loaded = self._read(idle)
        if self._storage.stamp(self._key) != stamp:
            raise AvailabilityError(f"{self.path}: changed while it was read; write it aside and rename it")
        self._stamp = stamp
        return loaded

    def _read(self, idle: float) -> Loaded:
        data = self._storage.read(self._key).data
        blocks = _parquet(data, self._columns) if self.path.endswith(".parquet") else _csv(data, self._columns)
        released = self._store.available
        from_N, until_N = np.array(released.from_N), np.array(released.until_N)
        named_N, num_lines, first = np.zeros(len(from_N), np.bool_), 0, 1
        try:
            for block in blocks:
                start, ids = time.perf_counter(), block["item_id"]
                empty = next((place for place, one in enumerate(ids) if _is_empty(one)), None)
                if empty is not None:
                    raise AvailabilityError(f"row {first + empty} has no {self._columns['item_id']}")
                told, from_, until = _bounds(block, first)
                rows = self._store.items.rows(ids)
                told &= rows > 0
                from_N[rows[told]], until_N[rows[told]], named_N[rows[told]] = from_[told], until[told], True
                first, num_lines = first + len(ids), num_lines + len(ids)
                time.sleep(idle * (time.perf_counter() - start))
        except AvailabilityError as error:
            raise AvailabilityError(f"{self.path}: {error}") from None
        if not num_lines:
            raise AvailabilityError(f"{self.path}: there are no items in it")
        if not named_N.any():
            raise AvailabilityError(
                f"{self.path}: the release knows none of its {num_lines:,} items; check the column "
                f"{self._columns['item_id']!r} (serving.availability.columns)"
            )
        return Loaded(Availability(from_N, until_N), int(np.count_nonzero(named_N)))


def _place(path: str) -> tuple[Storage, str]:
    if "://" in path:
        folder, _, name = path.rpartition("/")
        return open_storage(folder), name
    file = Path(path).expanduser()
    return open_storage(str(file.parent)), file.name


Block = dict[str, Sequence[Any]]
"""Values of the columns of a few lines, by our names; an empty one is None or an empty text."""


def _csv(data: bytes, columns: dict[AvailabilityColumn, str]) -> Iterator[Block]:
    if data and not data.endswith(b"\n"):
        raise AvailabilityError("the last line has no end, so the file may be half written; end it with a line feed")
    try:
        lines = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        header = next(lines, [])
        places = {name: header.index(column) for name, column in _present(header, columns).items()}
        block: list[list[str]] = []
        for line in lines:
            if len(line) != len(header):
                raise AvailabilityError(
                    f"line {lines.line_num} has {len(line)} fields, but the first line has {len(header)}"
                )
            block.append(line)
            if len(block) == _BLOCK:
                yield {name: [line[place] for line in block] for name, place in places.items()}
                block = []
        if block:
            yield {name: [line[place] for line in block] for name, place in places.items()}
    except (UnicodeDecodeError, csv.Error) as error:
        raise AvailabilityError(f"it cannot be read as a CSV in UTF-8: {error}") from None


def _parquet(data: bytes, columns: dict[AvailabilityColumn, str]) -> Iterator[Block]:
    if len(data) < 12 or not data.startswith(_MAGIC) or not data.endswith(_MAGIC):
        raise AvailabilityError("it is no whole Parquet file; write it aside and rename it")
    from fastparquet import ParquetFile  # noqa: PLC0415 - brings pandas, which few services need here

    try:
        file = ParquetFile(io.BytesIO(data))
        present = _present(file.columns, columns)
        for group in file.iter_row_groups(columns=list(present.values())):
            for start in range(0, len(group), _BLOCK):
                some = group.iloc[start : start + _BLOCK]
                yield {name: _values(some[column]) for name, column in present.items()}
    except AvailabilityError:
        raise
    except Exception as error:  # noqa: BLE001  # the reader raises whatever a broken byte leads to
        raise AvailabilityError(f"it cannot be read as Parquet: {type(error).__name__}: {error}") from None


def _values(column: Any) -> list[Any]:
    """The values of a column of pandas, None for any of its kinds of a missing one."""
    values: list[Any] = column.astype(object).where(column.notna(), None).tolist()
    return values


def _present(found: Sequence[str], columns: dict[AvailabilityColumn, str]) -> dict[AvailabilityColumn, str]:
    """Those of our columns that the file has, by the file's names."""
    present = {name: column for name, column in columns.items() if column in found}
    if "item_id" not in present or len(present) == 1:
        others = ", ".join(column for name, column in columns.items() if name != "item_id")
        raise AvailabilityError(
            f"it needs the column {columns['item_id']} and one of {others}; it has {', '.join(found) or 'none'}. "
            "Other names are given in serving.availability.columns"
        )
    return present


def _bounds(block: Block, first: int) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    """Of each line, whether it says anything, and from when until when its item is available."""
    nothing = [None] * len(block["item_id"])
    lines = list(zip(*(block.get(name, nothing) for name in get_args(AvailabilityColumn)[1:]), strict=True))
    read: dict[tuple[Any, ...], tuple[bool, int, int]] = {}  # lines repeat: most are in stock or out of it
    for place, line in enumerate(lines):
        if line not in read:
            read[line] = _interval(first + place, *line)
    told, start, end = zip(*(read[line] for line in lines), strict=True)
    return np.array(told, np.bool_), np.array(start, np.int64), np.array(end, np.int64)


def _interval(row: int, available: Any, stock: Any, start: Any, end: Any) -> tuple[bool, int, int]:
    if all(_is_empty(value) for value in (available, stock, start, end)):
        return False, ALWAYS, FOREVER
    if _truth(available, row) is False or _number(stock, row, "stock", 1.0) <= 0:
        return True, FOREVER, ALWAYS
    return True, _moment(start, row, "available_from", ALWAYS), _moment(end, row, "available_until", FOREVER)


def _is_empty(value: Any) -> bool:
    return value is None or value == ""


def _truth(value: Any, row: int) -> bool | None:
    if _is_empty(value):
        return None
    if isinstance(value, bool | int | float):
        value = f"{value:g}"
    found = _TRUTHS.get(str(value).strip().lower())
    if found is None:
        raise AvailabilityError(f"row {row}: available is {value!r}; it must be true or false")
    return found


def _number(value: Any, row: int, name: str, default: float) -> float:
    if _is_empty(value):
        return default
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = math.nan
    if math.isnan(found):
        raise AvailabilityError(f"row {row}: {name} is {value!r}; it must be a number")
    return found


def _moment(value: Any, row: int, name: str, default: int) -> int:
    """Seconds since the epoch, from a number of them or an ISO date or time, in UTC if it has no time zone."""
    if _is_empty(value):
        return default
    try:
        if isinstance(value, datetime):
            return int(_utc(value).timestamp())
        if isinstance(value, str) and not _is_number(value):
            return int(_utc(datetime.fromisoformat(value.strip())).timestamp())
        found = int(float(value))
    except (TypeError, ValueError, OverflowError):
        raise AvailabilityError(
            f"row {row}: {name} is {value!r}; write seconds since 1970 or an ISO time, like 2026-01-31T10:00:00Z"
        ) from None
    if abs(found) >= _LATEST:
        raise AvailabilityError(f"row {row}: {name} is {value!r}; write seconds since 1970, not milliseconds")
    return found


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
