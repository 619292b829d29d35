"""Checks the row rules of a table in chunks: valid rows go to one file, the others with their reasons to another."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from shortlist.data.tables import TIME_AS_READ, scan_file
from shortlist.data.validate.duplicates import Duplicates
from shortlist.data.validate.rules import FIRST, DataError, RowRule
from shortlist.data.validate.suite import Suite
from shortlist.progress import Progress

ROW, REASON = "row", "reason"
"""The additional columns of a quarantined row: its number in the table, from 0, and a list of reasons."""
_MIN_CHUNK_ROWS, _MAX_CHUNK_ROWS = 10_000, 1_000_000
_BYTES_PER_RULE = 150
"""The memory of a failed rule per row: its position as a Python number, several times."""
_SAMPLE = 10_000
"""The number of times of a chunk that its median is computed from."""


@dataclass
class Checked:
    """The result of checking one table."""

    table: str
    rules: list[RowRule]
    suite: Suite
    rows: int = 0
    quarantined: int = 0
    repeated: int = 0
    """The number of rows that repeat the key of an earlier row."""
    failed: list[int] = field(default_factory=list)
    """The number of rows that broke each rule."""
    examples: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Reason -> the first row with this reason, with its number."""
    nulls: dict[str, int] = field(default_factory=dict)
    not_finite: dict[str, int] = field(default_factory=dict)
    """The number of NaN and infinite values by numeric column."""
    middle_times: list[float] = field(default_factory=list)
    """The median of `time` in each chunk."""


def check_rows(
    table: Path,
    key: list[str],
    rules: list[RowRule],
    clean: Path,
    quarantine: Path,
    scratch: Path,
    memory_gb: float,
) -> Checked:
    """Split `table` into `clean` and `quarantine`; `key` are the columns whose values must be unique.

    Great Expectations decides which rules a row breaks. Every row is written to exactly one of the files, in order and
    with its types. Raises DataError when a column has a name that the quarantine needs.
    """
    name, scan = table.stem, scan_file(table)
    rows, schema = int(scan.select(pl.len()).collect().item()), scan.collect_schema()
    for reserved in (ROW, REASON):
        if reserved in schema:
            raise DataError(f"the {name} table has a column {reserved!r}, a name that the quarantine needs; rename it")
    checked = Checked(name, rules, Suite(name, [rule.expectation for rule in rules]), failed=[0] * len(rules))
    progress = Progress(f"validate {name}", rows)
    duplicates = Duplicates(table, key, memory_gb * 1e9 / 2, scratch)
    size = _chunk_rows(scan, len(rules), memory_gb)
    with _written(clean) as write_clean, _written(quarantine) as write_bad:
        # An empty table is one empty chunk, so that both files exist and have its columns.
        for start in range(0, max(rows, 1), size):
            chunk = scan.slice(start, size).collect()
            again = duplicates.among(start, chunk.height)
            broken = _check_chunk(checked, chunk.with_columns(pl.Series(FIRST, ~again)))
            valid = np.ones(chunk.height, np.bool_)
            valid[broken[ROW].to_numpy()] = False
            write_clean(chunk.filter(pl.Series(valid)).drop(TIME_AS_READ, strict=False))
            bad = chunk.filter(pl.Series(~valid)).with_columns(broken[ROW] + start, broken[REASON])
            write_bad(bad)
            _count(checked, chunk, bad)
            checked.repeated += int(again.sum())
            progress.advance(chunk.height)
    return checked


def _check_chunk(checked: Checked, chunk: pl.DataFrame) -> pl.DataFrame:
    """`row` (ascending, within the chunk) and `reason` of the rows that break a rule."""
    failed = checked.suite.check(_frame(chunk, checked.rules)) if chunk.height else [np.zeros(0, np.int64)]
    for i, rows in enumerate(failed):
        checked.failed[i] += len(rows)
    rules = np.repeat(np.arange(len(failed)), [len(rows) for rows in failed])
    broken = pl.DataFrame({ROW: np.concatenate(failed), "rule": rules}).sort(ROW, "rule")
    reasons = pl.Series(REASON, [rule.reason for rule in checked.rules], dtype=pl.String)
    return broken.select(ROW, reasons.gather(broken["rule"])).group_by(ROW, maintain_order=True).agg(REASON)


def _frame(chunk: pl.DataFrame, rules: list[RowRule]) -> Any:
    """The pandas frame for Great Expectations: 64-bit numbers (its fast path), booleans and categories."""
    view = chunk.select(**{rule.column: rule.sees for rule in rules})
    wide = [
        pl.col(column).cast(pl.Int64 if dtype.is_integer() and dtype != pl.UInt64 else pl.Float64)
        for column, dtype in view.schema.items()
        if dtype.is_numeric() or dtype == pl.Null
    ]
    return view.with_columns(wide).to_pandas()


def _count(checked: Checked, chunk: pl.DataFrame, bad: pl.DataFrame) -> None:
    checked.rows += chunk.height
    checked.quarantined += bad.height
    for column, nulls in chunk.drop(TIME_AS_READ, strict=False).null_count().row(0, named=True).items():
        checked.nulls[column] = checked.nulls.get(column, 0) + nulls
    for column in (c for c, dtype in chunk.schema.items() if dtype.is_float()):
        count = int((~chunk[column].is_finite()).sum())
        checked.not_finite[column] = checked.not_finite.get(column, 0) + count
    if "time" in chunk.columns:
        middle = chunk["time"].gather_every(chunk.height // _SAMPLE + 1).median()
        checked.middle_times += [middle] if isinstance(middle, float) else []
    unseen = bad.explode(REASON).unique(REASON, keep="first", maintain_order=True)
    for row in unseen.iter_rows(named=True):
        checked.examples.setdefault(row.pop(REASON), row)


def _chunk_rows(scan: pl.LazyFrame, num_rules: int, memory_gb: float) -> int:
    """The number of rows for which a chunk, its copies and the results of Great Expectations fit in half the memory."""
    head = scan.head(1000).collect()
    per_row = 4 * head.estimated_size() / max(head.height, 1) + _BYTES_PER_RULE * num_rules
    return min(max(int(memory_gb * 1e9 / 2 / per_row), _MIN_CHUNK_ROWS), _MAX_CHUNK_ROWS)


@contextmanager
def _written(path: Path) -> Iterator[Callable[[pl.DataFrame], None]]:
    """A function that appends frames, at least one, to the Parquet file at `path`."""
    with ExitStack() as stack:
        writer: list[pq.ParquetWriter] = []

        def append(frame: pl.DataFrame) -> None:
            table = frame.to_arrow()
            if not writer:
                writer.append(stack.enter_context(pq.ParquetWriter(path, table.schema, compression="lz4")))
            if frame.height:
                writer[0].write_table(table)

        yield append
