"""The rows that every model of a data set sees: what it trains on, what it is asked, what a right answer holds.

They are read from the folder that the library's `prepare` wrote, so that ours and the peers speak of the same item
rows; the counts that the protocol expects, and a test that reads the raw files by itself, keep that step honest.
Shapes: I interactions, Q queries, N item rows (row 0 is no item), C candidates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.protocol import Candidates, Protocol
from shortlist.dataset.prepared import EvaluationQueries, Prepared
from shortlist.dataset.split import TEST, TRAIN, VALID
from shortlist.features import FeatureStore

Part = Literal["valid", "test"]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """One part of one data set."""

    part: Part
    num_users: int
    """User rows; row 0 is no user."""
    num_items: int
    """Item rows, row 0 among them."""
    user_I: Ints
    """With `item_I`: the positives to train on, in the order of user and time. For the test part validation is among
    them: what was picked on it is fitted again on all that came before the test."""
    item_I: Ints
    time_I: Ints
    """Seconds, or the number of the row in data without times."""
    user_Q: Ints
    asked_Q: Ints
    """When, in the same unit."""
    histories: list[Ints]
    """The item rows that each query knows of its user, oldest first."""
    target_offsets: Ints
    target_items: Ints
    candidates_QC: Ints | None
    """The item rows to rank; None for all."""
    user_numeric_UF: NDArray[np.float32]
    """What is known of every user: each number standardised, and whether it is missing."""
    user_text_UD: NDArray[np.float32]
    """The vector of what the user's texts say."""
    user_words: dict[str, NDArray[Any]]
    """The users' categories: rows [U, W], 0 for none."""
    masked: bool

    def __len__(self) -> int:
        return len(self.user_Q)

    @property
    def exclude(self) -> list[Ints]:
        """What each query's list must not hold."""
        return self.histories if self.masked else [np.zeros(0, np.int64)] * len(self)

    @property
    def popularity(self) -> Ints:
        """How often each item was a train positive."""
        return np.bincount(self.item_I, minlength=self.num_items)


def read_rows(folder: Path, protocol: Protocol, part: Part) -> Rows:
    """Raises ValueError when the counts are not those of the protocol."""
    prepared = Prepared.open(folder)
    _check(prepared, protocol, folder)
    samples, store = prepared.samples, prepared.store
    trains = (TRAIN,) if part == "valid" else (TRAIN, VALID)
    at = samples.positives(trains)
    queries = prepared.valid if part == "valid" else prepared.test
    history = np.asarray(store.history_items).astype(np.int64)
    bounds = zip(queries.start.tolist(), queries.end.tolist(), strict=True)
    histories = [history[start:end] for start, end in bounds]
    return Rows(
        part=part,
        num_users=store.schema.num_user_rows,
        num_items=store.schema.num_item_rows,
        user_I=samples.user[at].astype(np.int64),
        item_I=samples.item[at].astype(np.int64),
        time_I=samples.time[at].astype(np.int64),
        user_Q=queries.user,
        asked_Q=queries.time,
        histories=histories,
        target_offsets=queries.target_offsets,
        target_items=queries.target_items,
        candidates_QC=_candidates(protocol.candidates, prepared, queries, part),
        user_numeric_UF=np.load(store.folder / "users/numeric.npy"),
        user_text_UD=_text(store),
        user_words={one.name: np.load(store.folder / f"users/{one.name}.npy") for one in store.schema.user.categorical},
        masked=protocol.mask == "history",
    )


def _text(store: FeatureStore) -> NDArray[np.float32]:
    nothing = np.zeros((store.schema.num_user_rows, 0), np.float32)
    return np.load(store.folder / "users/text.npy") if store.schema.user.text else nothing


def count_rows(prepared: Prepared) -> dict[str, int]:
    """What `expected` of a protocol is held against."""
    samples = prepared.samples
    return {
        "users": prepared.store.schema.num_user_rows - 1,
        "items": prepared.store.schema.num_item_rows - 1,
        "train": int(((samples.part == TRAIN) & samples.label).sum()),
        "valid": int(((samples.part == VALID) & samples.label).sum()),
        "test": int(((samples.part == TEST) & samples.label).sum()),
        "valid_queries": len(prepared.valid),
        "test_queries": len(prepared.test),
    }


def _check(prepared: Prepared, protocol: Protocol, folder: Path) -> None:
    found = count_rows(prepared)
    wrong = {name: found[name] for name, count in protocol.expected.items() if found[name] != count}
    if wrong:
        told = ", ".join(f"{name} {count}, expected {protocol.expected[name]}" for name, count in wrong.items())
        raise ValueError(
            f"{folder}: these are not the rows of the protocol of {protocol.data}: {told}; check SHORTLIST_DATA and "
            "the recipe's source and split, then prepare again"
        )


def _candidates(spec: Candidates, prepared: Prepared, queries: EvaluationQueries, part: Part) -> Ints | None:
    """Each query's targets and its drawn negatives, padded by 0 to one width, [Q, C]."""
    if spec.kind == "all":
        return None
    rng = np.random.default_rng([spec.seed, 0 if part == "valid" else 1])
    had = _everything(prepared)
    num_items = prepared.store.schema.num_item_rows
    width = int(np.diff(queries.target_offsets).max()) + spec.negatives
    candidates = np.zeros((len(queries), width), np.int64)
    for q, user in enumerate(queries.user.tolist()):
        targets = queries.target_items[queries.target_offsets[q] : queries.target_offsets[q + 1]]
        free = np.ones(num_items, bool)
        free[0] = False
        free[had[user]] = False
        negatives = rng.choice(np.flatnonzero(free), spec.negatives, replace=False)
        candidates[q, : len(targets) + spec.negatives] = np.concatenate([targets, negatives])
    return candidates


def _everything(prepared: Prepared) -> Sequence[Ints]:
    """All item rows that each user row ever had, in any part."""
    samples = prepared.samples
    order = np.argsort(samples.user, kind="stable")
    bounds = np.searchsorted(samples.user[order], np.arange(prepared.store.schema.num_user_rows + 1))
    items = samples.item[order].astype(np.int64)
    return [items[start:end] for start, end in pairwise(bounds.tolist())]
