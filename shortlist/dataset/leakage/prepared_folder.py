"""All checks of a prepared folder, and how much each of them looked at."""

from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl

from shortlist.dataset.leakage.availability import prove_availability
from shortlist.dataset.leakage.histories_and_queries import prove_histories, prove_queries, prove_samples
from shortlist.dataset.leakage.statistics import prove_statistics
from shortlist.dataset.prepared import Prepared
from shortlist.recipe import Recipe


@dataclass(frozen=True)
class LeakageProof:
    """How much was checked."""

    samples: int
    queries: int
    history_events: int
    train_samples: int
    items: int
    """Whose availability was found again from the events and the items table."""
    statistics: int
    """Vocabularies, means and counts that were taken again from the train samples."""

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


def prove(folder: Path, recipe: Recipe, items: pl.LazyFrame) -> LeakageProof:
    """Check all of a prepared folder; `items` is the clean table, which may say when items are available.

    Raises LeakageError for the first sample or statistic that knows too much.
    """
    prepared = Prepared.open(folder)
    prove_histories(prepared)
    available = prove_availability(prepared, recipe, items)
    train_samples = prove_samples(prepared, recipe)
    prove_queries(prepared, available)
    return LeakageProof(
        samples=len(prepared.samples),
        queries=len(prepared.valid) + len(prepared.test),
        history_events=len(prepared.history_times),
        train_samples=train_samples,
        items=len(available.from_N) - 1,
        statistics=prove_statistics(prepared, folder / "features", recipe),
    )
