"""Clean tables to what training reads: features, samples that point into histories, evaluation queries.

Users are handled in ranges of rows, as many at a time as `resources.memory_gb` allows; the bytes written do not depend
on the ranges. Statistics are taken from the written columns in blocks of fixed size for the same reason.
"""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shortlist.data.tables import disk_errors, new_folder
from shortlist.dataset.availability import find_availability, has_times
from shortlist.dataset.clean_events import CleanEvents
from shortlist.dataset.columns import ColumnWriter, save
from shortlist.dataset.context import ContextColumns
from shortlist.dataset.encode import rows_of
from shortlist.dataset.entity_features import EntityFeatures
from shortlist.dataset.evaluation_queries import QueryRows
from shortlist.dataset.leakage import LeakageProof, prove
from shortlist.dataset.popularity import time_decayed_popularity
from shortlist.dataset.prepared import FOLDERS, LABELS, QUERY_COLUMNS, SAMPLE_COLUMNS, Unknowable
from shortlist.dataset.samples import SampleBlock, SampleBuilder, UserRange
from shortlist.dataset.split import TEST, VALID, TemporalSplitter
from shortlist.dataset.split.temporal import moment, span
from shortlist.features import FeatureSchema
from shortlist.hashing import hash_files, hash_of_hashes
from shortlist.progress import Progress, say
from shortlist.recipe import TFIDF, Recipe
from shortlist.step_result import StepResult


def prepare(recipe: Recipe, clean: Path, out: Path) -> StepResult:
    """Write the prepared folder `out` from the tables in `clean`; equal input gives equal bytes.

    The folder appears complete or not at all. Raises ValueError when the split leaves nothing to train, validate or
    test on or the disk is full, and LeakageError when a sample could see its own future.
    """
    events = CleanEvents.scan(recipe, clean)
    with disk_errors(out), new_folder(out) as (folder, _):
        return _Preparation(recipe, events, folder).run()


class _Preparation:
    """One run of the step; its methods stand in the order in which they run."""

    def __init__(self, recipe: Recipe, events: CleanEvents, folder: Path) -> None:
        self.recipe, self.events, self.folder = recipe, events, folder
        self.features, self.samples, self.queries = (folder / part for part in FOLDERS)
        self.items, self.users = events.entities("item"), events.entities("user")
        self.available = find_availability(recipe, events, self.items)
        self.context = ContextColumns.plan(recipe, events.table, self.samples)
        self.popularity = np.zeros(self.items.vocabulary.num_rows, np.int64)
        self.active = np.zeros(self.users.vocabulary.num_rows, np.bool_)
        self.part_counts = np.zeros(4, np.int64)
        self.query_rows: dict[int, list[QueryRows]] = {VALID: [], TEST: []}
        self.repeats: dict[str, dict[str, int]] = {}
        self.unknowable: dict[str, Unknowable] = {}
        self.label_counts: dict[str, int] = {}

    def run(self) -> StepResult:
        self._write_samples()
        self.context.finish()
        self._check_parts()
        limit, ranking = self.recipe.evaluation.max_queries, self.recipe.ranking
        # The ranker learns from the validation queries and may want more of them than an evaluation.
        num_valid = self._write_queries("valid", VALID, max(limit, ranking.max_queries if ranking.enabled else 0))
        num_test = self._write_queries("test", TEST, limit)
        half_life, popular = self._time_decayed_popularity()
        schema = self._write_features(popular)
        say(f"prepare: proving that none of {self.events.num_events} samples sees its future")
        proof = prove(self.folder, self.recipe, self.items.table)
        return self._result(num_valid, num_test, half_life, schema, proof)

    def _write_samples(self) -> None:
        """One pass over ranges of users; the columns grow by a block at a time."""
        builder = SampleBuilder.of(self.recipe, self.events.splitter, self.available)
        history_counts = np.zeros(self.users.vocabulary.num_rows, np.int64)
        count, in_history = self.events.num_events, self.events.num_in_history
        progress = Progress("prepare: samples", count)
        first_sample = first_history = 0
        with ColumnWriter(self.samples) as columns, ColumnWriter(self.features / "history") as history:
            for name, dtype in SAMPLE_COLUMNS.items():
                columns.add(name, dtype, (count,))
            for name in self.recipe.interactions.labels:
                columns.add(f"{LABELS}/{name}", np.bool_, (count,))
            columns.add("history_times", np.int64, (in_history,))
            history.add("items", np.int32, (in_history,))
            if self.recipe.candidates.read_times:
                history.add("times", np.int64, (in_history,))
            self.context.open(columns, count)
            for first, last, table in self.events.user_ranges(self.users.vocabulary):
                user = rows_of(table["user_id"], self.users.vocabulary)
                history_counts += np.bincount(user[table["in_history"].to_numpy()], minlength=len(history_counts))
                events = UserRange(
                    first,
                    last,
                    user,
                    rows_of(table["item_id"], self.items.vocabulary),
                    table,
                    self.context.encode(table),
                    first_sample,
                    first_history,
                )
                for block in builder.blocks(events):
                    self._write_block(block, columns, history)
                    progress.advance(len(block.columns["user"]))
                first_sample += table.height
                first_history = int(history_counts[: last + 1].sum())
        save(self.features / "history/offsets.npy", np.append(0, np.cumsum(history_counts)))

    def _write_block(self, block: SampleBlock, columns: ColumnWriter, history: ColumnWriter) -> None:
        for name, rows in block.columns.items():
            columns.write(name, rows)
        history.write("items", block.history_items)
        if self.recipe.candidates.read_times:
            history.write("times", block.columns["history_times"])
        self.part_counts += np.bincount(block.columns["part"], minlength=4)
        np.add.at(self.popularity, block.columns["item"][block.trains], 1)
        self.active[block.columns["user"][block.trains]] = True
        for part, queries in block.queries.items():
            self.query_rows[part].append(queries)

    def _check_parts(self) -> None:
        if not self.active.any():
            raise ValueError(
                "split: no positive event is left to train on: none is older than the validation event of its user; "
                "check that the source's `time` is fine enough"
            )
        self.events.splitter.check_counts(self.part_counts)

    def _write_queries(self, name: str, part: int, limit: int) -> int:
        """Draw and write the queries of one part; their number."""
        found = QueryRows.join(self.query_rows[part])
        unknowable = Unknowable(targets=len(found.target_items) + found.unknowable, unknowable=found.unknowable)
        queries, folder = found.draw(limit, [self.recipe.seed, part]), self.queries / name
        self._check_queries(name, part, len(queries), unknowable)
        for column in QUERY_COLUMNS:
            save(folder / f"{column}.npy", getattr(queries, column))
        for label, targets in queries.labels.items():
            save(folder / LABELS / label / "offsets.npy", targets.offsets)
            save(folder / LABELS / label / "items.npy", targets.items)
            answered = int(np.count_nonzero(targets.counts))
            self.label_counts |= {f"{name}_{label}_targets": len(targets.items), f"{name}_{label}_queries": answered}
            if not answered:
                say(f"warning: no {name} query has a target that is {label}; make split.{name} longer to judge it")
        self.repeats[name] = {"positives": queries.positives, "repeats": queries.repeats}
        (folder / "repeats.json").write_text(json.dumps(self.repeats[name]) + "\n")
        self.context.write_queries(folder, queries)
        unknowable.save(folder)
        self.unknowable[name] = unknowable
        if found.unknowable:
            share = f"{unknowable.share:.1%} of the {name} targets"
            say(f"prepare: {share} are of items that were not available when asked for")
        return len(queries)

    def _check_queries(self, name: str, part: int, num_queries: int, unknowable: Unknowable) -> None:
        if num_queries == 0 and unknowable.unknowable:
            time = self.events.splitter.query_time(part)
            when = "" if time is None else f", at {moment(time)}"
            raise ValueError(
                f"split.{name}: all {unknowable.targets:,} targets are of items that were not available when asked for"
                f"{when}; make split.{name} shorter, or, if items could be recommended before their first event, say "
                "since when in source.items.columns.available_from"
            )
        if num_queries == 0:
            raise ValueError(
                f"split.{name}: all its positives are of items that their users had before, so there is nothing to "
                "ask; set evaluation.mask_seen to false if repeats count"
            )

    def _time_decayed_popularity(self) -> tuple[str, NDArray[np.float32]]:
        """The half-life as a text, and how popular each item is just before the test, [num_item_rows]."""
        splitter = self.events.splitter
        if not isinstance(splitter, TemporalSplitter):
            return "none", self.popularity.astype(np.float32)
        half_life, counts = time_decayed_popularity(self.samples, splitter.windows, self.available)
        return "none" if half_life == np.inf else span(int(half_life)), counts

    def _write_features(self, popular: NDArray[np.float32]) -> FeatureSchema:
        spec = self.recipe.features
        items = EntityFeatures(self.items, self.popularity > 0, self.features)
        users = EntityFeatures(self.users, self.active, self.features)
        schema = FeatureSchema(
            num_item_rows=self.items.vocabulary.num_rows,
            num_user_rows=self.users.vocabulary.num_rows,
            history_length=spec.history_length,
            item=items.write(spec.item.categorical, spec.item.numeric, spec.item.text),
            user=users.write(spec.user.categorical, spec.user.numeric, spec.user.text),
            context=self.context.write_features(self.features),
            clock=spec.context.clock,
            embedding_dim=0 if spec.item.embedding is None else spec.item.embedding.dim,
            availability=has_times(self.recipe),
        )
        if schema.availability:
            self.available.save(self.features)
        if spec.item.embedding is not None:
            items.write_embedding(spec.item.embedding)
        if spec.item.text is not None:
            write = items.write_text if spec.item.text.encoder == TFIDF else items.write_sentences
            write(spec.item.text, self.recipe.seed)
        if spec.user.text is not None:
            users.write_text(spec.user.text, self.recipe.seed).save(self.features / "users/text")
        items.write_titles(spec.item.title)
        save(self.features / "items/popularity.npy", self.popularity)
        save(self.features / "items/popular.npy", popular)
        (self.features / "schema.json").write_text(schema.model_dump_json(indent=1) + "\n")
        return schema

    def _result(
        self, num_valid: int, num_test: int, half_life: str, schema: FeatureSchema, proof: LeakageProof
    ) -> StepResult:
        hashes = hash_files(self.folder)
        split_hashes = {name: one for name, one in hashes.items() if not name.startswith("features/")}
        parts = dict(zip(("left_out", "train", "valid", "test"), self.part_counts.tolist(), strict=True))
        return StepResult(
            rows_in={"events": self.events.num_events, "items": self.items.described, "users": self.users.described},
            rows_out={
                **{f"{name}_samples": count for name, count in parts.items()},
                "items": self.items.vocabulary.num_rows - 1,
                "users": self.users.vocabulary.num_rows - 1,
                "valid_queries": num_valid,
                "test_queries": num_test,
                **self.label_counts,
            },
            metrics={
                "train_positives": int(self.popularity.sum()),
                "trained_items": int((self.popularity > 0).sum()),
                "leak_checked": proof.samples + proof.queries,
                **{f"unknowable_{name}_targets": one.unknowable for name, one in self.unknowable.items()},
            },
            details={
                "split": self.events.splitter.describe(),
                "popular_half_life": half_life,
                "repeats": self.repeats["test"],
                "unknowable_targets": {name: one.as_dict() for name, one in self.unknowable.items()},
                "leakage": proof.as_dict(),
                "schema": schema.model_dump(mode="json"),
                "digest": hash_of_hashes(hashes),
                "split_digest": hash_of_hashes(split_hashes),
            },
        )
