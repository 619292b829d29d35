"""What `prepare` leaves: features, samples that point into the histories, and evaluation queries.

features/                    a FeatureStore
samples/history_times.npy    int64 [num_history_events], beside features/history/items.npy; not released
samples/<column>.npy         one entry a sound event, in the order of user, time and row
samples/labels/<name>.npy    bool [n], whether an event has a label of the recipe; only if it names any
samples/context/<name>.npy   int32 [n, W] of every categorical; samples/context/numeric.npy float32 [n, F]
queries/valid/, queries/test/   user, start, end, time, context/, target_offsets, target_items, unknowable.json, and
                             repeats.json: of how many positives the history held the item already, those that are no
                             targets too; labels/<name>/offsets and items are the targets of a label

The samples are the large part. Each of the three is an artifact of its own, so that a step fetches what it reads.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from shortlist.dataset.columns import load
from shortlist.dataset.queries import QueriesWithTargets, Targets
from shortlist.features import Context, FeatureStore, Queries

SAMPLE_COLUMNS = {
    "user": np.int32,
    "item": np.int32,
    "time": np.int64,
    "label": np.bool_,
    "weight": np.float32,
    "start": np.int64,
    "end": np.int64,
    "part": np.int8,
}
Part = Literal["features", "samples", "queries"]
FOLDERS: tuple[Part, ...] = get_args(Part)
_MARKS: dict[Part, str] = {"features": "schema.json", "samples": "user.npy", "queries": "test/user.npy"}
"""A file that each part has."""
LABELS = "labels"
"""The folder of the labels, in `samples` and in the folders of queries."""
_UNKNOWABLE = "unknowable.json"
QUERY_COLUMNS = ("user", "start", "end", "time", "target_offsets", "target_items")


@dataclass(frozen=True)
class Samples:
    """n labelled events, memory-mapped; the types are those of `SAMPLE_COLUMNS`."""

    user: NDArray[Any]
    item: NDArray[Any]
    time: NDArray[Any]
    label: NDArray[Any]
    weight: NDArray[Any]
    start: NDArray[Any]
    """With `end`: the user's history strictly before `time` is `history_items[start:end]`."""
    end: NDArray[Any]
    part: NDArray[Any]
    """0 left out, 1 train, 2 validation, 3 test."""
    context: Context
    labels: dict[str, NDArray[Any]]
    """Label of the recipe -> bool [n]."""

    def __len__(self) -> int:
        return len(self.user)

    def positives(self, parts: Sequence[int]) -> NDArray[np.int64]:
        """Where the positives of these parts of the split stand."""
        return np.flatnonzero(np.isin(self.part, parts) & self.label)


class Unknowable(BaseModel):
    """How many targets of a part of the split are left out: their items were not available at the time of the query.

    queries/valid/unknowable.json, queries/test/unknowable.json
    """

    model_config = ConfigDict(frozen=True)

    targets: int
    """All, also of queries that were not drawn or have no other target."""
    unknowable: int

    @property
    def share(self) -> float:
        return self.unknowable / max(self.targets, 1)

    def save(self, folder: Path) -> None:
        (folder / _UNKNOWABLE).write_text(self.model_dump_json(indent=1) + "\n")

    def as_dict(self) -> dict[str, float]:
        return {**self.model_dump(), "share": round(self.share, 6)}


@dataclass(frozen=True, kw_only=True)
class EvaluationQueries(QueriesWithTargets):
    """The queries of validation or test, with their context."""

    target_items: NDArray[np.int64]
    context: Context

    def take(self, at: NDArray[np.int64]) -> Self:
        return replace(super().take(at), context=self.context.take(at))


class Prepared:
    """The output of `prepare`, or the parts of it that a step reads; each is mapped into memory when first used."""

    def __init__(self, *, features: Path, samples: Path | None = None, queries: Path | None = None) -> None:
        """Raises ValueError when a folder is not that part."""
        given: dict[Part, Path | None] = {"features": features, "samples": samples, "queries": queries}
        self.folders = {part: folder for part, folder in given.items() if folder is not None}
        """In the order of `FOLDERS`."""
        for part, folder in self.folders.items():
            if not (folder / _MARKS[part]).exists():
                raise ValueError(f"{folder}: this is no prepared folder; run the prepare step first")

    @classmethod
    def open(cls, folder: str | Path) -> "Prepared":
        """All parts, below one folder. Raises ValueError when one is not there."""
        return cls(**{part: Path(folder) / part for part in FOLDERS})

    @cached_property
    def store(self) -> FeatureStore:
        """Raises ValueError when the features are of another schema version."""
        return FeatureStore.open(self._folder("features"))

    @cached_property
    def samples(self) -> Samples:
        folder = self._folder("samples")
        columns = {name: load(folder / f"{name}.npy") for name in SAMPLE_COLUMNS}
        labels = {file.stem: load(file) for file in sorted((folder / LABELS).glob("*.npy"))}
        return Samples(**columns, context=_context(self.store, folder), labels=labels)

    @cached_property
    def history_times(self) -> NDArray[np.int64]:
        """[num_history_events]; of the samples."""
        return load(self._folder("samples") / "history_times.npy")

    @cached_property
    def valid(self) -> EvaluationQueries:
        return _queries(self.store, self._folder("queries") / "valid")

    @cached_property
    def test(self) -> EvaluationQueries:
        return _queries(self.store, self._folder("queries") / "test")

    @cached_property
    def test_repeats(self) -> tuple[int, int]:
        """How many distinct items users took in the test, and how many of them their histories held already."""
        counts = json.loads((self._folder("queries") / "test/repeats.json").read_text())
        return counts["positives"], counts["repeats"]

    def unknowable(self, name: Literal["valid", "test"]) -> Unknowable:
        """What the queries of a part leave out."""
        return Unknowable.model_validate_json((self._folder("queries") / name / _UNKNOWABLE).read_text())

    def encode(self, queries: EvaluationQueries) -> Queries:
        """What the towers, the candidate sources and the ranker read for these queries."""
        store = self.store
        return store.queries(
            queries.user,
            store.history_items,
            queries.start,
            queries.end,
            queries.context,
            times=store.history_times,
        )

    def histories(self, queries: EvaluationQueries) -> list[NDArray[Any]]:
        """All item rows of each query's history, in time order; views, since together they may be most of the
        data."""
        items = np.asarray(self.store.history_items)
        return [items[start:end] for start, end in zip(queries.start.tolist(), queries.end.tolist(), strict=True)]

    def _folder(self, part: Part) -> Path:
        assert part in self.folders, f"a step that reads the {part} of prepare must be given them"
        return self.folders[part]


def _context(store: FeatureStore, folder: Path) -> Context:
    names = [f"context.{field.name}" for field in store.schema.context.categorical]
    names += [f"clock.{unit}" for unit in store.schema.clock]
    return Context({name: load(folder / f"context/{name}.npy") for name in names}, load(folder / "context/numeric.npy"))


def _queries(store: FeatureStore, folder: Path) -> EvaluationQueries:
    columns = {name: load(folder / f"{name}.npy").astype(np.int64) for name in QUERY_COLUMNS}
    context = _context(store, folder)
    labels = {
        one.name: Targets(*(load(one / f"{name}.npy").astype(np.int64) for name in ("offsets", "items")))
        for one in sorted((folder / LABELS).glob("*"))
    }
    return EvaluationQueries(**columns, context=context.take(np.arange(len(columns["user"]))), labels=labels)
