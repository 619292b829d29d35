"""Compares kinds of FAISS indexes on the same vectors and queries: recall, speed, size and build time.

Shapes: Q queries, N items, D vector dim.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from shortlist.progress import Progress, say
from shortlist.recipe import Index
from shortlist.retrieval.faiss_index import choose_factory, make_index, set_search
from shortlist.retrieval.index_quality import batch_speed, exact_scores, recall_of, single_speed

_NPROBES = (4, 16, 64)
_EF_SEARCHES = (64, 128, 256)
_CENTROIDS = 256
"""Of a product quantizer with codes of 8 bits, which needs as many vectors."""


@dataclass(frozen=True)
class Kind:
    """A FAISS factory and the settings with which it is searched."""

    family: str
    """Its short name, as a line of the table and of the plots."""
    factory: str
    nprobes: tuple[int, ...] = (0,)
    """0 without inverted lists."""
    ef_searches: tuple[int, ...] = (0,)
    """0 without a graph."""
    refine: int = 0
    """If above 0, it is also measured with refine: so many times k results are compared again by exact vectors."""


@dataclass(frozen=True)
class Measured:
    """One kind with one setting."""

    family: str
    factory: str
    nprobe: int
    ef_search: int
    refine: int
    recall_at_10: float
    recall_at_100: float
    queries_per_second: float
    """One query at a time on one thread, for 100 results."""
    batch_queries_per_second: float
    """All queries in one call on one thread, for 100 results."""
    mb: float
    """Size of the index file in MiB, which a service maps; with refine it includes the exact vectors."""
    build_seconds: float

    @property
    def ms(self) -> float:
        """Milliseconds of one query on one thread."""
        return 1e3 / self.queries_per_second

    @property
    def search_settings(self) -> dict[str, int]:
        """The fields of `index` in a recipe that search with this setting; those that the kind lacks are left out."""
        fields = {"nprobe": self.nprobe, "ef_search": self.ef_search, "refine": self.refine}
        return {name: value for name, value in fields.items() if value}

    @property
    def setting(self) -> str:
        """The setting in words, such as `nprobe 16, refine 10`; empty without one."""
        named = {"nprobe": self.nprobe, "efSearch": self.ef_search, "refine": self.refine}
        return ", ".join(f"{name} {value}" for name, value in named.items() if value)


@dataclass(frozen=True)
class Target:
    """What an index must reach; None is no limit."""

    min_recall: float
    """Of recall@100."""
    max_ms: float | None = None
    """Milliseconds of one query on one thread."""
    max_mb: float | None = None
    """MiB of the index file."""

    def misses(self, one: Measured) -> list[str]:
        """What `one` misses, in words; empty if it meets the target."""
        missed = []
        if one.recall_at_100 < self.min_recall:
            missed.append(f"recall@100 {one.recall_at_100:.3f} < {self.min_recall:g}")
        if self.max_ms is not None and one.ms > self.max_ms:
            missed.append(f"{one.ms:.2f} ms > {self.max_ms:g}")
        if self.max_mb is not None and one.mb > self.max_mb:
            missed.append(f"{one.mb:.1f} MB > {self.max_mb:g}")
        return missed


def list_kinds(num_items: int, dim: int) -> list[Kind]:
    """The kinds that fit a catalogue of `num_items` vectors of width `dim`.

    Exact vectors are compared again (refine) where the index holds codes of a byte or less per dimension.
    """
    codes = {"SQfp16": 0, "SQ8": 2, "RaBitQ": 10}
    if num_items >= _CENTROIDS:
        # np: without polysemous training, which takes minutes and only helps searches by Hamming distance
        codes[f"PQ{math.gcd(dim, 16)}np"] = 10
    kinds = [Kind("Flat", "Flat"), *(Kind(name, name, refine=refine) for name, refine in codes.items())]
    lists = choose_factory(Index(exact_below=0), num_items).partition(",")[0]
    if lists.startswith("IVF"):
        num_lists = int(lists.removeprefix("IVF").partition("_")[0])
        nprobes = tuple(sorted({min(n, num_lists) for n in _NPROBES}))
        kinds.append(Kind("IVF,Flat", f"{lists},Flat", nprobes))
        kinds += [Kind(f"IVF,{name}", f"{lists},{name}", nprobes, refine=refine) for name, refine in codes.items()]
    kinds.append(Kind("HNSW", "HNSW32", ef_searches=_EF_SEARCHES))
    kinds.append(Kind("HNSW,SQ8", "HNSW32_SQ8", ef_searches=_EF_SEARCHES, refine=2))
    return kinds


def compare(
    vectors_ND: NDArray[np.float32],
    query_QD: NDArray[np.float32],
    kinds: Sequence[Kind],
    *,
    seed: int,
    sample: int,
) -> list[Measured]:
    """Build every kind over the vectors and measure all of its settings with the queries; recall as `measure_index`.

    Each index is freed before the next is built. Raises ValueError when a kind does not fit the vectors.
    """
    depth = min(100, len(vectors_ND))
    best_QK = exact_scores(vectors_ND, query_QD, depth)
    progress = Progress("index compare", len(kinds))
    found = []
    for kind in kinds:
        say(f"index compare: {kind.factory}")
        start = time.perf_counter()
        index = make_index(kind.factory, vectors_ND, seed, sample)
        seconds = round(time.perf_counter() - start, 3)
        found += measure_settings(kind, index, 0, seconds, vectors_ND, query_QD, best_QK)
        if kind.refine:  # around the same codes, so that nothing is trained twice
            start = time.perf_counter()
            refined = faiss.IndexRefineFlat(index, faiss.swig_ptr(np.ascontiguousarray(vectors_ND)))
            seconds = round(seconds + time.perf_counter() - start, 3)
            found += measure_settings(kind, refined, kind.refine, seconds, vectors_ND, query_QD, best_QK)
        progress.advance(recall_at_100=found[-1].recall_at_100)
    return found


def measure_settings(
    kind: Kind,
    index: Any,
    refine: int,
    seconds: float,
    vectors_ND: NDArray[np.float32],
    query_QD: NDArray[np.float32],
    best_QK: NDArray[np.float32],
) -> list[Measured]:
    """Measure an index of one kind in each of its settings, those of the least effort first."""
    size = round(len(faiss.serialize_index(index)) / 2**20, 3)
    depth, found = best_QK.shape[1], []
    for nprobe, ef_search in product(kind.nprobes, kind.ef_searches):
        set_search(index, nprobe=max(nprobe, 1), ef_search=max(ef_search, 1), refine=max(refine, 1))
        _, positions_QK = index.search(query_QD, depth)
        at_10, at_100 = recall_of(positions_QK, vectors_ND, query_QD, best_QK)
        found.append(
            Measured(
                family=f"{kind.family}+refine" if refine else kind.family,
                factory=f"{kind.factory},RFlat" if refine else kind.factory,
                nprobe=nprobe,
                ef_search=ef_search,
                refine=refine,
                recall_at_10=at_10,
                recall_at_100=at_100,
                queries_per_second=single_speed(index, query_QD, depth),
                batch_queries_per_second=batch_speed(index, query_QD, depth),
                mb=size,
                build_seconds=seconds,
            )
        )
    return found


def cheapest(found: Sequence[Measured], target: Target) -> Measured | None:
    """The smallest index that meets the target, and of several settings of it the fastest; None if none does."""
    meeting = [one for one in found if not target.misses(one)]
    return min(meeting, key=lambda one: (one.mb, one.ms), default=None)


def nearest(found: Sequence[Measured], target: Target, count: int = 3) -> list[Measured]:
    """The indexes that miss the fewest parts of the target, those with the best recall first."""
    return sorted(found, key=lambda one: (len(target.misses(one)), -one.recall_at_100, one.mb))[:count]


def describe_nearest(found: Sequence[Measured], target: Target) -> str:
    """The nearest indexes and what each misses, a line each that begins with a line break."""
    return "".join(
        f"\n  {one.factory} {one.setting}: {', '.join(target.misses(one))}" for one in nearest(found, target)
    )


def recipe_line(one: Measured, min_recall: float) -> str:
    """The block of the recipe that builds this index, searches it with this setting and checks its recall."""
    given = "".join(f", {name}: {value}" for name, value in one.search_settings.items())
    return f'index: {{factory: "{one.factory}"{given}, min_recall: {min_recall:g}}}'
