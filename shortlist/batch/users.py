"""The users that lists are written for, a block at a time, so that millions of them take no memory."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq

from shortlist.answer.query import Id
from shortlist.features.vocabulary import Vocabulary

_COLUMN = "user_id"
_READ_BYTES = 1 << 20


class Users(NamedTuple):
    """Users in blocks; reading them raises ValueError when the file is not one of users."""

    most: int
    """How many there are at most, for the progress."""
    blocks: Iterator[list[Id]]


def all_users(known: Vocabulary, size: int) -> Users:
    """All users that a release knows, in the order of their ids."""
    rows = np.arange(1, known.num_rows)
    return Users(len(rows), (known.values(rows[at : at + size]) for at in range(0, len(rows), size)))


def users_in(file: Path, size: int) -> Users:
    """The users of a file: its column `user_id` (Parquet, CSV), or a user in each line (any other)."""
    if file.suffix == ".parquet":
        table = pq.ParquetFile(file)
        _check_column(file, table.schema_arrow.names)
        blocks: Iterator[list[Id | None]] = (
            batch.column(0).to_pylist() for batch in table.iter_batches(size, columns=[_COLUMN])
        )
        return Users(table.metadata.num_rows, _whole(file, blocks))
    lines = _csv(file) if file.suffix == ".csv" else _lines(file)
    return Users(_num_lines(file), _whole(file, _in_blocks(lines, size)))


def once(blocks: Iterator[list[Id]], known: Vocabulary) -> Iterator[list[Id]]:
    """Each user once. Only the ids that the release does not know are kept, and a bit of each that it knows."""
    done_N, others = np.zeros(known.num_rows, np.bool_), set[str]()
    for block in blocks:
        new = []
        for user, row in zip(block, known.rows(block).tolist(), strict=True):
            if done_N[row] if row else str(user) in others:
                continue
            if row:
                done_N[row] = True
            else:
                others.add(str(user))
            new.append(user)
        yield new


def _csv(file: Path) -> Iterator[Id | None]:
    with file.open(encoding="utf-8-sig", newline="") as text:
        lines = csv.DictReader(text)
        _check_column(file, lines.fieldnames or [])
        yield from (line[_COLUMN] or None for line in lines)


def _lines(file: Path) -> Iterator[Id | None]:
    with file.open(encoding="utf-8-sig") as text:
        yield from (line.strip() for line in text if line.strip())


def _in_blocks(users: Iterator[Id | None], size: int) -> Iterator[list[Id | None]]:
    block: list[Id | None] = []
    for user in users:
        block.append(user)
        if len(block) == size:
            yield block
            block = []
    yield block


def _whole(file: Path, blocks: Iterator[list[Id | None]]) -> Iterator[list[Id]]:
    done = 0
    for block in blocks:
        if None in block:
            raise ValueError(f"{file}: row {done + block.index(None) + 1} has no {_COLUMN}; remove the row")
        done += len(block)
        yield [user for user in block if user is not None]
    if not done:
        raise ValueError(f"{file}: there are no users in it")


def _check_column(file: Path, found: Sequence[str]) -> None:
    if _COLUMN not in found:
        raise ValueError(f"{file}: there is no column {_COLUMN!r}; its columns are {', '.join(found)}")


def _num_lines(file: Path) -> int:
    with file.open("rb") as data:
        return sum(part.count(b"\n") for part in iter(lambda: data.read(_READ_BYTES), b""))
