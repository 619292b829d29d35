"""Clean tables to what training reads: features, samples that point into histories, evaluation questions.

Users are handled in ranges of rows, as many at a time as `resources.memory_gb` allows; the bytes written do not depend
on the ranges. Statistics are taken from the written columns in blocks of fixed size for the same reason.
"""

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.catalogue import Entities
from shortlist.columns import ColumnWriter, save
from shortlist.context import ContextColumns
from shortlist.encode import common_key_type, rows_of, vocabulary_of
from shortlist.facts import StepFacts
from shortlist.features import FeatureSchema
from shortlist.leakage import prove
from shortlist.prepared import SAMPLE_COLUMNS
from shortlist.progress import Progress, say
from shortlist.questions import Asked, draw, questions
from shortlist.recipe import Recipe, TemporalSplit
from shortlist.split import MIN_POSITIVES, TEST, TRAIN, VALID, Windows, leave_one_out_parts, moment
from shortlist.timeline import timeline
from shortlist.vocabulary import Vocabulary

_BYTES_PER_EVENT = 280
"""Peak memory of one event while its range is sorted and written, measured, without context columns."""


def prepare(recipe: Recipe, clean: Path, out: Path) -> StepFacts:
    """Write the prepared folder `out` from the tables in `clean`; equal input gives equal bytes.

    Raises ValueError when the split leaves nothing to train, validate or test on, and LeakageError when a sample could
    see its own future.
    """
    events = _Events.scan(recipe, clean)
    with _whole(out) as folder:
        return _Preparation(recipe, clean, events, folder).run()


@dataclass(frozen=True)
class _Events:
    """The clean events and what must be known of all of them before the first is written."""

    table: pl.LazyFrame
    count: int
    in_history: int
    first: int
    last: int
    windows: Windows | None
    whole: bool
    """Whether they are in memory already."""

    @classmethod
    def scan(cls, recipe: Recipe, clean: Path) -> "_Events":
        table = pl.scan_parquet(clean / "events.parquet", glob=False)
        wanted = ["user_id", "item_id", "time", "positive", "in_history", "weight"]
        wanted += ContextColumns.names(recipe)
        have = table.collect_schema().names()
        missing = [name for name in wanted if name not in have]
        if missing:
            raise ValueError(f"{clean / 'events.parquet'}: no column {', '.join(missing)}; there are {', '.join(have)}")
        table = table.select(wanted)
        whole = table.select(pl.len()).collect().item() <= rows_at_once(recipe)
        if whole:
            table = table.collect().lazy()
        told = table.select(
            pl.len(),
            pl.col("in_history").sum(),
            pl.col("time").min().alias("first"),
            pl.col("time").max().alias("last"),
            pl.col("positive").sum(),
        ).collect(engine="auto" if whole else "streaming")
        count, in_history, first, last, positives = told.row(0)
        if count == 0:
            raise ValueError(f"{clean / 'events.parquet'}: there are no events")
        if positives == 0:
            raise ValueError(
                f"interactions.positive: true for none of the {count} events, so there is nothing to learn; "
                f"it is now {recipe.interactions.positive!r}"
            )
        if not isinstance(recipe.split, TemporalSplit):
            return cls(table, count, in_history, first, last, None, whole)
        windows = Windows.of(recipe.split, first, last)
        _check_windows(table, windows, first, last)
        return cls(table, count, in_history, first, last, windows, whole)


def _check_windows(table: pl.LazyFrame, windows: Windows, first: int, last: int) -> None:
    """Every window needs a positive."""
    spans = {
        "train": (windows.train_start, windows.train_end),
        "valid": (windows.valid_start, windows.valid_end),
        "test": (windows.test_start, windows.test_end),
    }
    time = pl.col("time").filter(pl.col("positive"))
    found = table.select(
        time.is_between(*span, closed="left").sum().alias(name) for name, span in spans.items()
    ).collect()
    for name, (start, end) in spans.items():
        if found[name][0] == 0:
            raise ValueError(
                f"split.{name}: no positive event lies in its window, {moment(start)} to {moment(end)}; the events go "
                f"from {moment(first)} to {moment(last)}: make split.{name} longer, or check interactions.positive"
            )


def rows_at_once(recipe: Recipe) -> int:
    """How many events fit into the memory that the recipe allows."""
    width = _BYTES_PER_EVENT + ContextColumns.bytes_per_event(recipe)
    return max(int(recipe.resources.memory_gb * 2**30 / width), 1)


@dataclass
class _Preparation:
    """One run of the step, in the order in which its methods stand."""

    recipe: Recipe
    clean: Path
    events: _Events
    folder: Path
    popularity: NDArray[np.int64] = field(init=False)
    active: NDArray[np.bool_] = field(init=False)
    """Which user rows have a train positive."""
    history_counts: NDArray[np.int64] = field(init=False)
    part_counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(4, np.int64))
    train_positives: int = 0

    def run(self) -> StepFacts:
        self.items, self.item_table, num_items_described = self._entities("item")
        self.users, self.user_table, num_users_described = self._entities("user")
        self.popularity = np.zeros(self.items.num_rows, np.int64)
        self.active = np.zeros(self.users.num_rows, np.bool_)
        self.history_counts = np.zeros(self.users.num_rows, np.int64)
        valid, test = self._write_samples()
        schema = self._write_features()
        self._write_questions("valid", valid)
        self._write_questions("test", test)
        say(f"prepare: proving that none of {self.events.count} samples sees its future")
        proof = prove(self.folder, self.recipe)
        parts = dict(zip(("left_out", "train", "valid", "test"), self.part_counts.tolist(), strict=True))
        return StepFacts(
            rows_in={"events": self.events.count, "items": num_items_described, "users": num_users_described},
            rows_out={
                **{f"{name}_samples": count for name, count in parts.items()},
                "items": self.items.num_rows - 1,
                "users": self.users.num_rows - 1,
                "valid_questions": len(valid.user),
                "test_questions": len(test.user),
            },
            metrics={
                "train_positives": self.train_positives,
                "leak_checked": proof.samples + proof.questions,
            },
            details={
                "split": self._split_facts(),
                "leakage": proof.as_dict(),
                "schema": schema.model_dump(mode="json"),
                "digest": digest(self.folder),
            },
        )

    def _entities(self, kind: str) -> tuple[Vocabulary, pl.LazyFrame, int]:
        """Every id of the table and of the events."""
        column = f"{kind}_id"
        table = pl.scan_parquet(self.clean / f"{kind}s.parquet", glob=False).filter(pl.col(column).is_not_null())
        key = common_key_type(column, self.events.table.collect_schema()[column], table.collect_schema()[column])
        engine: Any = "auto" if self.events.whole else "streaming"
        met = self.events.table.select(pl.col(column).unique().cast(key)).collect(engine=engine)[column]
        described = table.select(pl.col(column).unique().cast(key)).collect()[column]
        say(f"prepare: {len(described)} {kind}s described, {len(met)} met in events")
        return vocabulary_of(pl.concat([met, described]), column), table, len(described)

    def _write_samples(self) -> tuple[Asked, Asked]:
        """One pass over ranges of users; the columns grow by a range at a time."""
        samples, history = self.folder / "samples", self.folder / "features/history"
        self.context = ContextColumns.plan(self.recipe, self.events.table, samples)
        asked: dict[int, list[Asked]] = {VALID: [], TEST: []}
        count, in_history = self.events.count, self.events.in_history
        progress = Progress("prepare: samples", count)
        with ColumnWriter(samples) as columns, ColumnWriter(history) as past:
            for name, dtype in SAMPLE_COLUMNS.items():
                columns.add(name, dtype, (count,))
            columns.add("history_times", np.int64, (in_history,))
            past.add("items", np.int32, (in_history,))
            self.context.open(columns, count)
            at_sample = at_history = 0
            for first, last, table in self._ranges():
                pieces = self._write_range(table, first, last, at_sample, at_history, columns, past)
                for part, piece in pieces.items():
                    asked[part].append(piece)
                at_sample += table.height
                at_history += int(self.history_counts[first : last + 1].sum())
                progress.advance(table.height)
        save(history / "offsets.npy", np.append(0, np.cumsum(self.history_counts)))
        self.context.finish()
        seed, limit = self.recipe.seed, self.recipe.evaluation.max_queries
        # The ranker learns from the validation questions and may want more of them.
        ranked = self.recipe.ranking.max_queries if self.recipe.ranking.enabled else 0
        valid = draw(Asked.join(asked[VALID]), max(limit, ranked), [seed, VALID])
        test = draw(Asked.join(asked[TEST]), limit, [seed, TEST])
        self._check_questions(valid, test)
        return valid, test

    def _ranges(self) -> Iterator[tuple[int, int, pl.DataFrame]]:
        """First and last user row, and their events in the order of the table."""
        if self.events.whole:
            yield 1, self.users.num_rows - 1, self.events.table.collect()
            return
        found = self.events.table.group_by("user_id").len().collect(engine="streaming")
        count = np.zeros(self.users.num_rows, np.int64)
        count[rows_of(found["user_id"], self.users)] = found["len"].to_numpy()
        keys = self.users.keys if self.users.integers else [key.decode() for key in self.users.keys.tolist()]
        user_id = pl.col("user_id").cast(pl.Int64 if self.users.integers else pl.String)
        for first, last in ranges(count, rows_at_once(self.recipe)):
            chosen = user_id.is_between(pl.lit(keys[first - 1]), pl.lit(keys[last - 1]))
            yield first, last, self.events.table.filter(chosen).collect(engine="streaming")

    def _write_range(
        self,
        table: pl.DataFrame,
        first: int,
        last: int,
        at_sample: int,
        at_history: int,
        columns: ColumnWriter,
        past: ColumnWriter,
    ) -> dict[int, Asked]:
        line = timeline(
            rows_of(table["user_id"], self.users),
            table["time"].to_numpy(),
            table["in_history"].to_numpy(),
            first,
            last - first + 1,
        )
        item = rows_of(table["item_id"], self.items)[line.order]
        label = table["positive"].to_numpy()[line.order]
        windows = self.events.windows
        part = windows.parts(line.time) if windows else leave_one_out_parts(line.bounds, line.time, label)
        start = np.repeat(line.history_bounds[:-1] + at_history, np.diff(line.bounds))
        self.history_counts[first : last + 1] = np.diff(line.history_bounds)
        self.part_counts += np.bincount(part, minlength=4)
        trained = label & (part == TRAIN)
        self.popularity += np.bincount(item[trained], minlength=self.items.num_rows)
        self.active[line.user[trained]] = True
        self.train_positives += int(trained.sum())
        written: dict[str, NDArray[Any]] = {
            "user": line.user,
            "item": item,
            "time": line.time,
            "label": label,
            "weight": table["weight"].to_numpy()[line.order],
            "start": start,
            "end": line.end + at_history,
            "part": part,
            "history_times": line.time[line.in_history],
        }
        for name, rows in written.items():
            columns.write(name, rows)
        past.write("items", item[line.in_history])
        self.context.write(columns, table, line)
        return {
            kind: questions(
                line,
                item,
                label & (part == kind),
                windows=windows,
                asked_at=0 if windows is None else (windows.valid_start if kind == VALID else windows.test_start),
                gap=self.recipe.split.gap if isinstance(self.recipe.split, TemporalSplit) else 0,
                mask_seen=self.recipe.evaluation.mask_seen,
                num_item_rows=self.items.num_rows,
                first_sample=at_sample,
                first_history=at_history,
            )
            for kind in (VALID, TEST)
        }

    def _check_questions(self, valid: Asked, test: Asked) -> None:
        for name, asked in (("valid", valid), ("test", test)):
            if len(asked.user):
                continue
            if self.events.windows is None and self.part_counts[TEST] == 0:
                raise ValueError(
                    f"split.kind: leave_one_out needs a user with at least {MIN_POSITIVES} positive events and there "
                    "is none; use more events, a wider interactions.positive, or a temporal split"
                )
            raise ValueError(
                f"split.{name}: every positive is of an item that its user had before, so there is nothing to ask; "
                "set evaluation.mask_seen to false if repeats count"
            )
        if self.train_positives == 0:
            raise ValueError(
                "split: no positive event is left to train on: all are at the times of the users' validation events; "
                "check that `time` of the source is fine enough"
            )

    def _write_features(self) -> FeatureSchema:
        spec, folder = self.recipe.features, self.folder / "features"
        items = Entities("item", self.item_table, self.items, self.popularity > 0, folder)
        users = Entities("user", self.user_table, self.users, self.active, folder)
        schema = FeatureSchema(
            num_item_rows=self.items.num_rows,
            num_user_rows=self.users.num_rows,
            history_length=spec.history_length,
            item=items.write(spec.item.categorical, spec.item.numeric),
            user=users.write(spec.user.categorical, spec.user.numeric),
            context=self.context.write_features(folder),
            clock=spec.context.clock,
            embedding_dim=0 if spec.item.embedding is None else spec.item.embedding.dim,
        )
        if spec.item.embedding is not None:
            items.write_embedding(spec.item.embedding)
        items.write_titles(spec.item.title)
        save(folder / "items/popularity.npy", self.popularity)
        (folder / "schema.json").write_text(schema.model_dump_json(indent=1) + "\n")
        return schema

    def _write_questions(self, name: str, asked: Asked) -> None:
        folder = self.folder / "samples" / name
        for column in ("user", "start", "end", "time", "target_offsets", "target_items"):
            save(folder / f"{column}.npy", getattr(asked, column))
        self.context.write_questions(folder, asked)

    def _split_facts(self) -> dict[str, str]:
        windows = self.events.windows
        if windows is None:
            return {"kind": "leave_one_out"}
        times = {name: moment(getattr(windows, name)) for name in windows.__dataclass_fields__}
        return {"kind": "temporal", **times}


def ranges(count: NDArray[np.int64], limit: int) -> list[tuple[int, int]]:
    """Runs of user rows, from row 1, of at most `limit` events each; a user with more has a run of its own."""
    total = np.cumsum(count)
    runs, first = [], 1
    while first < len(count):
        last = int(np.searchsorted(total, total[first - 1] + limit, side="right")) - 1
        last = max(last, first)
        runs.append((first, last))
        first = last + 1
    return runs


def digest(folder: Path) -> str:
    """SHA-256 over the names and contents of all files."""
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix()):
        if path.is_file():
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            whole.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
    return whole.hexdigest()


@contextmanager
def _whole(out: Path) -> Iterator[Path]:
    """A folder that appears at `out` when it is complete, and not at all after an error."""
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    if out.exists():
        shutil.rmtree(out)
    partial.rename(out)
