"""Tries a recipe on its data in seconds: reads, validates and prepares the data, and trains each model for one step."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from shortlist.data.ingest import ingest
from shortlist.data.tables import path, scan
from shortlist.data.validate import DataError, validate
from shortlist.recipe import Recipe
from shortlist.step_result import StepResult

if TYPE_CHECKING:
    from shortlist.retrieval.task import RetrievalTask

_MOST_EVENTS = 200_000
"""The maximum number of events to prepare; larger data is sampled by user, which keeps the time span."""
_QUERIES = 64
"""The number of queries that the ranker is tried with."""
_SHOWN = 3


@dataclass
class Trial:
    """Reports each part when it ends, with its duration."""

    report: Callable[[str], None]
    started: float = field(default_factory=time.perf_counter)

    @contextmanager
    def part(self) -> Iterator[list[str]]:
        """Report the lines that are appended to the list; the output of the steps is suppressed."""
        lines: list[str] = []
        before = time.perf_counter()
        with redirect_stdout(StringIO()):
            yield lines
        took = f"{time.perf_counter() - before:.1f} s"
        for at, line in enumerate(lines):
            self.report(f"{line:<90} {took if at == 0 else ''}".rstrip())


def try_recipe(recipe: Recipe, folder: Path, report: Callable[[str], None]) -> None:
    """Read all data and train each model for one step in `folder`, which the caller removes.

    Raises the errors of the steps: SourceError, DataError, ValueError for an empty split, TrainingError.
    """
    trial = Trial(report)
    tables, clean, quarantine = (folder / name for name in ("tables", "clean", "quarantine"))
    with trial.part() as lines:
        result = ingest(recipe, tables)
        rows = ", ".join(f"{count:,} {table}" for table, count in result.rows_out.items())
        files = len(result.details["files"])
        lines.append(f"read       {rows} from {files} file{'s' * (files != 1)}")
        lines += [f"           {where}.where left out {count:,} rows" for where, count in _left_out(result).items()]
    with trial.part() as lines:
        try:
            result = validate(recipe, tables, clean, quarantine, folder / "docs.html")
        except DataError as error:
            raise _with_rows(error, quarantine) from None
        lines += list(_contract(result))
    with trial.part() as lines:
        share = _fewer_users(clean)
        if share < 1:
            lines.append(f"sample     the events of {share:.0%} of the users, for the rest of this trial")
        lines.append(f"prepared   {_prepare(recipe, clean, folder / 'prepared')}")
        if share == 1:  # a sample may lack the values that rules use
            _check_rules(recipe, folder / "prepared/features")
    with trial.part() as lines:
        task = _step(recipe, folder / "prepared", folder / "towers")
        size = sum(weight.numel() for weight in task.model.parameters())
        lines.append(f"step       one batch, one step, a checkpoint and a validation of {size:,} parameters")
    if recipe.ranking.enabled:
        with trial.part() as lines:
            lines.append(f"ranker     {_rank(recipe, task, folder / 'ranker')}")
    report(f"total      {time.perf_counter() - trial.started:.1f} s; nothing was kept")


def _left_out(result: StepResult) -> dict[str, int]:
    return {where: count for where, count in result.details["left_out"].items() if count}


def _contract(result: StepResult) -> Iterator[str]:
    bad = {table: result.rows_out[f"quarantined_{table}"] for table in ("events", "items", "users")}
    quarantined = ", ".join(f"{count:,} of {result.rows_in[table]:,} {table}" for table, count in bad.items())
    yield f"contract   passed; quarantined {quarantined}"
    for rule in result.details["rules"]:
        if rule["failed"]:
            yield f"           {rule['failed']:,} {rule['table']}: {rule['rule']}"
    users, items = int(result.metrics["num_users"]), int(result.metrics["num_items"])
    positive = result.metrics["positive_share"]
    yield f"           {users:,} users, {items:,} items, {positive:.1%} of the events are positives"


def _with_rows(error: DataError, quarantine: Path) -> DataError:
    """The error with the first rows of the quarantine instead of its path, since the folder is removed."""
    text = str(error).replace(f"The rows and their reasons are in {quarantine}; ", "The first are below; ")
    for table in ("events", "items", "users"):
        file = quarantine / f"{table}.parquet"
        if not file.exists():
            continue
        for row in pl.scan_parquet(file, glob=False).head(_SHOWN).collect().rows(named=True):
            values = ", ".join(f"{name} {value!r}" for name, value in row.items() if name not in ("row", "reason"))
            text += f"\n  {table}, row {row['row'] + 1:,}: {'; '.join(row['reason'])} ({values})"
    return DataError(text)


def _fewer_users(clean: Path) -> float:
    """Keep the events of a sample of the users; returns the share of users that are kept."""
    events = scan(clean, "events")
    count = int(events.select(pl.len()).collect().item())
    if count <= _MOST_EVENTS:
        return 1.0
    parts = -(-count // _MOST_EVENTS)
    kept = events.filter(pl.col("user_id").hash(seed=1) % parts == 0).collect(engine="streaming")
    kept.write_parquet(path(clean, "events"))
    return 1 / parts


def _prepare(recipe: Recipe, clean: Path, out: Path) -> str:
    from shortlist.dataset.prepare import prepare  # noqa: PLC0415 - the contract is reported before torch is loaded

    rows = prepare(recipe, clean, out).rows_out
    return (
        f"{rows['train_samples']:,} events to train on, {rows['valid_queries']:,} validation and "
        f"{rows['test_queries']:,} test queries"
    )


def _check_rules(recipe: Recipe, features: Path) -> None:
    from shortlist.features import FeatureStore  # noqa: PLC0415
    from shortlist.recommend.rules import check_rules  # noqa: PLC0415

    check_rules(recipe, FeatureStore.open(features))


def _step(recipe: Recipe, prepared: Path, out: Path) -> "RetrievalTask":
    from shortlist.dataset.prepared import Prepared  # noqa: PLC0415 - torch takes seconds to load
    from shortlist.retrieval.task import RetrievalTask  # noqa: PLC0415
    from shortlist.training.fit import dry_run  # noqa: PLC0415

    task = RetrievalTask(recipe, Prepared.open(prepared))
    dry_run(task, recipe.retrieval.training, out, seed=recipe.seed, label="train retrieval")
    return task


def _rank(recipe: Recipe, towers: "RetrievalTask", out: Path) -> str:
    """One step of the ranker on candidates of the untrained towers, or on labels; then save, open and score."""
    from shortlist.ranking.ranker import Calibration, Ranker  # noqa: PLC0415
    from shortlist.ranking.training.dry_run import first_candidates, ranking_task  # noqa: PLC0415
    from shortlist.training.fit import dry_run  # noqa: PLC0415

    found = first_candidates(recipe, towers, _QUERIES, out)
    if found is None:
        return "not tried: there are fewer than two validation queries of known users"
    task = ranking_task(recipe, found, out)
    if task is None:
        return "not tried: ranking.learn_from is labels, and the train or the validation part has no labelled event"
    dry_run(task, recipe.ranking.training, out, seed=recipe.seed, label="train ranking")
    Ranker(task.model, Calibration()).save(out, {})
    request = found.request(np.arange(len(found.queries)))
    scores = Ranker.open(out, out, towers.prepared.store).score(request)
    assert np.isfinite(scores).all(), "scores are probabilities"
    return f"one batch, one step, a checkpoint; saved, opened, and scored {int((found.rows_QK > 0).sum()):,} candidates"
