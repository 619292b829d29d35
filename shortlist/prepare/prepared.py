"""What `prepare` leaves: features, samples that point into the histories, and evaluation questions.

features/                    a FeatureStore
samples/history_times.npy    int64 [num_history_events], beside features/history/items.npy; not released
samples/<column>.npy         one entry a sound event, in the order of user, time and row
samples/context/<name>.npy   int32 [n, W] of every categorical; samples/context/numeric.npy float32 [n, F]
samples/split.json           the windows of a temporal split
samples/valid/, samples/test/   questions: user, start, end, time, context/, target_offsets, target_items
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.features import Context, FeatureStore, Queries
from shortlist.prepare.columns import load

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
QUESTION_COLUMNS = ("user", "start", "end", "time", "target_offsets", "target_items")


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

    def __len__(self) -> int:
        return len(self.user)


@dataclass(frozen=True)
class Questions:
    """Q evaluation questions in the order of the users.

    Right answers to question `q` are the item rows `target_items[target_offsets[q]:target_offsets[q + 1]]`.
    """

    user: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    time: NDArray[np.int64]
    context: Context
    target_offsets: NDArray[np.int64]
    target_items: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.user)

    def take(self, at: NDArray[np.int64]) -> "Questions":
        """The questions at these positions, in this order."""
        length = np.diff(self.target_offsets)[at]
        offsets = np.append(0, np.cumsum(length))
        inside = np.arange(offsets[-1]) - np.repeat(offsets[:-1], length)
        return Questions(
            self.user[at],
            self.start[at],
            self.end[at],
            self.time[at],
            self.context.take(at),
            offsets,
            self.target_items[np.repeat(self.target_offsets[at], length) + inside],
        )

    def draw(self, limit: int, seed: int) -> "Questions":
        """At most `limit` of the questions, by the seed, in the order of the users."""
        if len(self) <= limit:
            return self
        return self.take(np.sort(np.random.default_rng(seed).permutation(len(self))[:limit]))


@dataclass(frozen=True)
class Prepared:
    """A prepared folder, opened without reading the samples."""

    store: FeatureStore
    samples: Samples
    valid: Questions
    test: Questions
    history_times: NDArray[np.int64]

    @classmethod
    def open(cls, folder: str | Path) -> "Prepared":
        """Raises ValueError when there is no prepared folder, or one of another schema version."""
        folder = Path(folder)
        if not (folder / "features/schema.json").exists() or not (folder / "samples").is_dir():
            raise ValueError(f"{folder}: this is no prepared folder; run the prepare step first")
        store = FeatureStore.open(folder / "features")
        samples = folder / "samples"
        columns = {name: load(samples / f"{name}.npy") for name in SAMPLE_COLUMNS}
        return cls(
            store=store,
            samples=Samples(**columns, context=_context(store, samples)),
            valid=_questions(store, samples / "valid"),
            test=_questions(store, samples / "test"),
            history_times=load(samples / "history_times.npy"),
        )

    def queries(self, questions: Questions) -> Queries:
        """What the towers read for these questions."""
        return self.store.queries(
            questions.user, self.store.history_items, questions.start, questions.end, questions.context
        )


def _context(store: FeatureStore, folder: Path) -> Context:
    names = [f"context.{field.name}" for field in store.schema.context.categorical]
    names += [f"clock.{unit}" for unit in store.schema.clock]
    return Context({name: load(folder / f"context/{name}.npy") for name in names}, load(folder / "context/numeric.npy"))


def _questions(store: FeatureStore, folder: Path) -> Questions:
    columns = {name: load(folder / f"{name}.npy").astype(np.int64) for name in QUESTION_COLUMNS}
    context = _context(store, folder)
    return Questions(**columns, context=context.take(np.arange(len(columns["user"]))))
