"""The releases that the tests go between."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.made_release import make_release
from shortlist.answer.query import Query
from shortlist.answer.release_recommender import ReleaseRecommender
from shortlist.ranking.ranker import Ranker
from shortlist.release.bundle import read_manifest, release_key
from shortlist.storage import Storage

BROKEN = "0123456789abcdef"
_ITEMS, _USERS = 5000, 200
_TIME = 1_700_000_000


def _queries(count: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    return [{"history": rng.integers(1000, 5000, 5).tolist(), "k": 10, "time": _TIME} for _ in range(count)]


QUERIES = _queries(60)


@dataclass(frozen=True)
class Served:
    """A release, and what it answers, computed in this process."""

    name: str
    folder: Path
    ranked: list[list[Any]]
    """Item ids of each of QUERIES, as the ranker orders them."""
    retrieved: list[list[Any]]
    """The same in the order of retrieval."""

    @classmethod
    def open(cls, folder: Path) -> "Served":
        recommender = ReleaseRecommender.open(folder)
        release = recommender.release
        ranker = Ranker.open(folder / "ranking", folder / "retrieval", release.store)
        ranked, retrieved = [], []
        for query in QUERIES:
            found = recommender.find([Query(k=10, history=query["history"], time=_TIME)])
            assert found.request is not None
            ranked.append(_ids(recommender.answers(found, ranker.score(found.request), None)))
            retrieved.append(_ids(recommender.answers(found, None, "as it was found")))
        return cls(release.name, folder, ranked, retrieved)


@dataclass(frozen=True)
class Releases:
    """Two of one catalogue with other weights, one without a ranker, and one that lost the last byte of each file."""

    first: Served
    second: Served
    unranked: Path

    @classmethod
    def make(cls, folder: Path) -> "Releases":
        for seed, name in enumerate(("first", "second", "unranked")):
            torch.manual_seed(seed)  # the same names in every session
            make_release(folder / name, num_items=_ITEMS, num_users=_USERS, seed=seed, ranks=name != "unranked")
        return cls(Served.open(folder / "first"), Served.open(folder / "second"), folder / "unranked")

    def publish(self, root: Storage) -> None:
        """All of them; the first is live."""
        for folder in (self.first.folder, self.second.folder, self.unranked):
            put(root, folder)
        broken = read_manifest(self.second.folder)
        for file in broken.files:
            root.write(release_key(BROKEN, file), (self.second.folder / file).read_bytes()[:-1])
        root.write(release_key(BROKEN, "manifest.json"), broken.canonical())
        root.write("live.json", f'{{"release": "{self.first.name}", "at": "2026-01-01T00:00:00Z"}}'.encode())


def put(root: Storage, folder: Path) -> None:
    """One release, not live."""
    manifest = read_manifest(folder)
    root.upload(folder, manifest.files, release_key(manifest.name))
    root.write(release_key(manifest.name, "manifest.json"), manifest.canonical())


def _ids(answers: Sequence[Mapping[str, Any]]) -> list[Any]:
    return [item["item_id"] for item in answers[0]["items"]]
