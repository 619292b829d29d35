"""A recipe tried on its data in seconds: read, held against the contract, prepared, one step of the towers."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

import polars as pl

from shortlist.data.ingest import ingest
from shortlist.data.tables import path, scan
from shortlist.data.validate import DataError, validate
from shortlist.recipe import Recipe
from shortlist.step_result import StepResult

_MOST_EVENTS = 200_000
"""What is prepared and stepped on; of more, the events of some users, so that the span of the times is kept."""
_SHOWN = 3


@dataclass
class Trial:
    """Tells each part as it ends, with the seconds that it took."""

    tell: Callable[[str], None]
    started: float = field(default_factory=time.perf_counter)

    @contextmanager
    def part(self) -> Iterator[list[str]]:
        """What is appended to the list is told; what the steps themselves say is not."""
        said: list[str] = []
        before = time.perf_counter()
        with redirect_stdout(StringIO()):
            yield said
        took = f"{time.perf_counter() - before:.1f} s"
        for at, line in enumerate(said):
            self.tell(f"{line:<90} {took if at == 0 else ''}".rstrip())


def try_recipe(recipe: Recipe, folder: Path, tell: Callable[[str], None]) -> None:
    """Read all the data and take one training step, in `folder`, which the caller removes.

    Raises what the steps raise: SourceError, DataError, ValueError of a split that leaves nothing, TrainingError.
    """
    trial = Trial(tell)
    tables, clean, quarantine = (folder / name for name in ("tables", "clean", "quarantine"))
    with trial.part() as said:
        result = ingest(recipe, tables)
        rows = ", ".join(f"{count:,} {table}" for table, count in result.rows_out.items())
        files = len(result.details["files"])
        said.append(f"read       {rows} from {files} file{'s' * (files != 1)}")
        said += [f"           {where}.where left out {count:,} rows" for where, count in _left_out(result).items()]
    with trial.part() as said:
        try:
            result = validate(recipe, tables, clean, quarantine, folder / "docs.html")
        except DataError as error:
            raise _with_rows(error, quarantine) from None
        said += list(_contract(result))
    with trial.part() as said:
        share = _fewer_users(clean)
        if share < 1:
            said.append(f"sample     the events of {share:.0%} of the users, for the rest of this trial")
        said.append(f"prepared   {_prepare(recipe, clean, folder / 'prepared')}")
        if share == 1:  # a sample may lack the values that rules name
            _check_rules(recipe, folder / "prepared/features")
    with trial.part() as said:
        parameters = _step(recipe, folder / "prepared", folder / "towers")
        said.append(f"step       one batch, one step, a checkpoint and a validation of {parameters:,} parameters")
    tell(f"all of it  {time.perf_counter() - trial.started:.1f} s; nothing was kept")


def _left_out(result: StepResult) -> dict[str, int]:
    return {where: count for where, count in result.details["left_out"].items() if count}


def _contract(result: StepResult) -> Iterator[str]:
    bad = {table: result.rows_out[f"quarantined_{table}"] for table in ("events", "items", "users")}
    told = ", ".join(f"{count:,} of {result.rows_in[table]:,} {table}" for table, count in bad.items())
    yield f"contract   holds; quarantined {told}"
    for rule in result.details["rules"]:
        if rule["failed"]:
            yield f"           {rule['failed']:,} {rule['table']}: {rule['rule']}"
    users, items = int(result.metrics["num_users"]), int(result.metrics["num_items"])
    positive = result.metrics["positive_share"]
    yield f"           {users:,} users, {items:,} items, {positive:.1%} of the events are positives"


def _with_rows(error: DataError, quarantine: Path) -> DataError:
    """The error without the path of a quarantine that goes away, and with its first rows instead."""
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
    """Leave the events of some users; the share of users that stays."""
    events = scan(clean, "events")
    count = int(events.select(pl.len()).collect().item())
    if count <= _MOST_EVENTS:
        return 1.0
    parts = -(-count // _MOST_EVENTS)
    kept = events.filter(pl.col("user_id").hash(seed=1) % parts == 0).collect(engine="streaming")
    kept.write_parquet(path(clean, "events"))
    return 1 / parts


def _prepare(recipe: Recipe, clean: Path, out: Path) -> str:
    from shortlist.dataset.prepare import prepare  # noqa: PLC0415 - the contract is told before the models are loaded

    rows = prepare(recipe, clean, out).rows_out
    return (
        f"{rows['train_samples']:,} events to train on, {rows['valid_queries']:,} validation and "
        f"{rows['test_queries']:,} test queries"
    )


def _check_rules(recipe: Recipe, features: Path) -> None:
    from shortlist.features import FeatureStore  # noqa: PLC0415
    from shortlist.recommend.rules import check_rules  # noqa: PLC0415

    check_rules(recipe, FeatureStore.open(features))


def _step(recipe: Recipe, prepared: Path, out: Path) -> int:
    from shortlist.dataset.prepared import Prepared  # noqa: PLC0415 - torch takes seconds to load
    from shortlist.retrieval.task import RetrievalTask  # noqa: PLC0415
    from shortlist.training.fit import dry_run  # noqa: PLC0415

    task = RetrievalTask(recipe, Prepared.open(prepared))
    dry_run(task, recipe.retrieval.training, out, seed=recipe.seed, label="train retrieval")
    return sum(weight.numel() for weight in task.model.parameters())
