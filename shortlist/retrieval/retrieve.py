"""Retrieval as in serving: the exported query tower in ONNX Runtime and the FAISS index, without torch.

Shapes: E queries, L history length, D vector dim, k results. Item row `r` is position `r - 1` of the index.
"""

import json
import math
from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from shortlist.features import FeatureStore, Queries
from shortlist.features.availability import Availability
from shortlist.features.item_mask import ItemMask
from shortlist.retrieval.candidates import KEPT, Candidates, Subset
from shortlist.retrieval.onnx_query_tower import OnnxQueryTower, map_array

# The stubs of faiss declare the C++ constructors; these take keywords and arrays from Python.
_Parameters: Any = faiss.SearchParameters
_ParametersIVF: Any = faiss.SearchParametersIVF
_NOTHING = np.zeros(0, np.int64)
_FEW = 16_384
"""Number of vectors that can be compared exhaustively in about a millisecond."""
_SPREAD = 1.3
"""Exponent of the number of lists in the share of items that a filter leaves; 1 compares as many vectors."""


class Retriever:
    """The query tower and the index of one release. Safe to use from several threads."""

    def __init__(
        self, tower: OnnxQueryTower, index: Any, vectors: Any, candidates: Candidates, *, num_probes: int, threads: int
    ) -> None:
        self.tower = tower
        self.index = index
        self.num_items: int = index.ntotal
        self.dim: int = index.d
        self.candidates = candidates
        self._vectors = vectors
        self._threads = threads
        self._num_probes = num_probes
        self._gathered = lru_cache(KEPT)(lambda subset: vectors[subset.positions])
        """Vectors of small subsets, where gathering takes longer than the rest of a search."""
        # Only these indexes read a selector and a number of lists from the search parameters; others ignore them.
        self._inverted = isinstance(index, faiss.IndexIVFScalarQuantizer | faiss.IndexIVFFlat)
        self._selects = self._inverted or isinstance(index, faiss.IndexFlat)
        inside = faiss.try_extract_index_ivf(index)
        if inside is not None:
            inside.nprobe = num_probes

    @classmethod
    def open(
        cls,
        retrieval: Path,
        index: Path,
        store: FeatureStore,
        *,
        threads: int = 1,
        available: Availability | None = None,
    ) -> "Retriever":
        """Open an exported tower and its index, memory-mapped; `available` replaces the availability of the store.

        Raises ValueError when a file is broken, or the tower, the index and the store do not belong together.
        """
        tower = OnnxQueryTower.open(retrieval, store, threads=threads)
        searched, settings = open_index(index)
        try:
            vectors = map_array(retrieval / "vectors.npy")
        except (OSError, ValueError) as error:
            raise ValueError(f"{retrieval}: vectors.npy cannot be read: {error}") from error
        if settings["metric"] != tower.metric:
            raise ValueError(
                f"{index}: the index searches by {settings['metric']}, but the tower of {retrieval} was trained for "
                f"{tower.metric}; build the index of this export again"
            )
        shape = (store.schema.num_item_rows - 1, tower.dim)
        if (searched.ntotal, searched.d) != shape or vectors.shape != shape:
            raise ValueError(
                f"{index}: {searched.ntotal} vectors of width {searched.d}, but the features have {shape[0]} items "
                f"and the tower has width {shape[1]}; they are not of the same run"
            )
        candidates = Candidates.open(retrieval, available or store.available)
        return cls(tower, searched, vectors, candidates, num_probes=settings["nprobe"], threads=threads)

    def over(self, available: Availability) -> "Retriever":
        """The same tower and index with another availability of the items."""
        return Retriever(
            self.tower,
            self.index,
            self._vectors,
            self.candidates.over(available),
            num_probes=self._num_probes,
            threads=self._threads,
        )

    def embed(self, queries: Queries) -> NDArray[np.float32]:
        """The query vectors, [E, D]; of length 1 where the metric is cosine."""
        return self.tower.embed(queries)

    def item_vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The vectors of item rows above 0, [number of rows, D]."""
        return np.asarray(self._vectors[rows - 1])

    def unit_vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """As `item_vectors`, of length 1, for cosines; a vector of zeros stays so."""
        vectors = self.item_vectors(rows)
        if self.tower.metric == "cosine":  # the export has normalised them
            return vectors
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0))

    def search(
        self,
        vectors_ED: NDArray[np.float32],
        k: int,
        exclude: Sequence[NDArray[Any]] | None = None,
        time_E: NDArray[np.int64] | None = None,
        masks: Sequence[ItemMask | None] = (),
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Item rows and their inner products with the query, best first, both [E, k].

        `exclude` has the item rows to leave out for each query, in any order. Items that are not available at the
        query's `time_E` (seconds), not known to the tower or not in the query's mask are also left out. A query gets
        `k` items unless there are fewer; then the rest is row 0 with score -inf.
        """
        assert k >= 1, k
        # OpenMP stores the number of threads per calling thread, so it is set in the thread of the search.
        faiss.omp_set_num_threads(self._threads)
        vectors_ED = np.ascontiguousarray(vectors_ED, np.float32)
        count = len(vectors_ED)
        assert exclude is None or len(exclude) == count, (len(exclude), count)
        rows_EK, scores_EK = np.zeros((count, k), np.int64), np.full((count, k), -np.inf, np.float32)
        for of, subset in self.candidates.groups(count, time_E, masks):
            seen = [_NOTHING] * len(of) if exclude is None else [self._known(exclude[e], subset) for e in of.tolist()]
            # Requesting as many more results as may be dropped works for every index, and is fast for a whole batch if
            # few are dropped. A query that drops more is searched alone, with a selector if the index supports one.
            many = np.array([len(rows) > k for rows in seen], bool)
            for at in [np.flatnonzero(~many), *np.flatnonzero(many)[:, None]]:
                if len(at):
                    found = self._search(vectors_ED[of[at]], k, [seen[e] for e in at], subset)
                    rows_EK[of[at]], scores_EK[of[at]] = found
        return rows_EK, scores_EK

    def _known(self, rows: NDArray[Any], subset: Subset) -> NDArray[np.int64]:
        rows = rows[(rows > 0) & (rows <= self.num_items)]
        rows = rows if subset.whole else rows[subset.there_I[rows - 1]]
        return np.unique(rows).astype(np.int64, copy=False)

    def _search(
        self, vectors_ED: NDArray[np.float32], k: int, seen: list[NDArray[np.int64]], subset: Subset
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Like `search`; the rows of `seen` are sorted, unique and in the subset."""
        if subset.whole or not self._inverted:
            return self._search_index(vectors_ED, k, seen, subset, self._num_probes)
        # More lists are searched if few items of a list are allowed, somewhat more than compares as many vectors as
        # without a subset: the best of few items are spread over more lists (docs/decisions/index.md).
        # If the subset is small, or not larger than the number of vectors that would be compared, all are compared.
        if subset.count <= max(_FEW, self.num_items * self._num_probes // self.index.nlist):
            return self._search_exactly(vectors_ED, k, seen, subset)
        num_probes = math.ceil(self._num_probes * (self.num_items / subset.count) ** _SPREAD)
        return self._search_index(vectors_ED, k, seen, subset, num_probes)

    def _search_index(
        self,
        vectors_ED: NDArray[np.float32],
        k: int,
        seen: list[NDArray[np.int64]],
        subset: Subset,
        num_probes: int,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        num_seen_E = np.array([len(rows) for rows in seen])
        alone = self._selects and len(seen) == 1 and num_seen_E[0] > k
        selector = None
        if self._selects and (alone or not subset.whole):
            selector = subset.selector(seen[0] - 1 if alone else None)
        depth = k if alone else k + int(num_seen_E.max())
        if not self._selects:  # items outside the subset are dropped from a larger result
            depth = -(-depth * self.num_items // max(subset.count, 1))
        depth = max(min(depth, self.num_items), 1)
        if self._inverted and num_probes > self._num_probes:
            inner, positions = self._search_lists(vectors_ED, depth, num_probes, selector)
        else:
            inner, positions = self.index.search(vectors_ED, depth, params=self._parameters(num_probes, selector))
        rows, scores = positions + 1, np.where(positions < 0, np.float32(-np.inf), inner)
        if (not alone and num_seen_E.any()) or (not self._selects and not subset.whole):
            rows, scores = _drop(rows, scores, seen, subset)
        rows_EK, scores_EK = _to_width(rows, k, 0), _to_width(scores, k, -np.inf)
        lacking = np.flatnonzero((rows_EK > 0).sum(axis=1) < np.minimum(k, subset.count - num_seen_E))
        if len(lacking):
            vectors, dropped = vectors_ED[lacking], [seen[e] for e in lacking]
            if self._inverted and num_probes < self.index.nlist:
                found = self._search_index(vectors, k, dropped, subset, 4 * num_probes)
            else:
                found = self._search_exactly(vectors, k, dropped, subset)
            rows_EK[lacking], scores_EK[lacking] = found
        return rows_EK, scores_EK

    def _search_lists(
        self, vectors_ED: NDArray[np.float32], depth: int, num_probes: int, selector: Any
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Like `index.search` in many lists, which are chosen by comparing all centroids.

        The HNSW graph by which an index chooses lists does not reach all of them: of 2,048 requested lists, one index
        returned 600, and the recall was .59 instead of .98.
        """
        count, num_probes = len(vectors_ED), min(num_probes, self.index.nlist)
        nearness_EC = vectors_ED @ self._centres.T
        lists_EP = np.argsort(-nearness_EC, axis=1, kind="stable")[:, :num_probes]
        nearness_EP = np.ascontiguousarray(np.take_along_axis(nearness_EC, lists_EP, axis=1))
        lists_EP = np.ascontiguousarray(lists_EP)
        scores, positions = np.empty((count, depth), np.float32), np.empty((count, depth), np.int64)
        # The method for arrays does not take search parameters.
        pointers = [faiss.swig_ptr(one) for one in (vectors_ED, lists_EP, nearness_EP, scores, positions)]
        vectors, lists, nearness, out_scores, out_positions = pointers
        self.index.search_preassigned_c(
            count,
            vectors,
            depth,
            lists,
            nearness,
            out_scores,
            out_positions,
            False,
            self._parameters(num_probes, selector),
        )
        return scores, positions

    @cached_property
    def _centres(self) -> NDArray[np.float32]:
        """The centroids of all lists of an inverted index."""
        quantizer = faiss.downcast_index(self.index.quantizer)
        return np.asarray(quantizer.reconstruct_n(0, self.index.nlist))

    def _parameters(self, num_probes: int, selector: Any) -> Any:
        if self._inverted:
            return _ParametersIVF(nprobe=min(num_probes, self.index.nlist), sel=selector)
        return None if selector is None else _Parameters(sel=selector)

    def _search_exactly(
        self, vectors_ED: NDArray[np.float32], k: int, seen: list[NDArray[np.int64]], subset: Subset
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Exhaustive search of the subset, one query at a time: for small subsets, and if an index found too few and
        cannot search further."""
        rows_EK, scores_EK = np.zeros((len(seen), k), np.int64), np.full((len(seen), k), -np.inf, np.float32)
        if subset.whole:
            vectors_SD = self._vectors
        else:
            vectors_SD = self._vectors[subset.positions] if subset.count > _FEW else self._gathered(subset)
        for e, rows in enumerate(seen):
            scores_S = vectors_SD @ vectors_ED[e]
            scores_S[np.searchsorted(subset.positions, rows - 1)] = -np.inf
            best = np.argsort(-scores_S, kind="stable")[: min(k, subset.count - len(rows))]
            rows_EK[e, : len(best)], scores_EK[e, : len(best)] = subset.positions[best] + 1, scores_S[best]
        return rows_EK, scores_EK


def open_index(folder: Path) -> tuple[Any, dict[str, Any]]:
    """The index, memory-mapped, and the settings of index.json. Raises ValueError when either is broken."""
    try:
        settings = json.loads((folder / "index.json").read_text())
        settings = {**settings, "metric": str(settings["metric"]), "nprobe": int(settings["nprobe"])}
        # This flag maps both flat vectors and inverted lists, and unlike IO_FLAG_MMAP starts no threads in a search.
        index = faiss.read_index(str(folder / "index.faiss"), faiss.IO_FLAG_MMAP_IFC)
    except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{folder}: the index cannot be read: {type(error).__name__}: {error}") from error
    if index.metric_type != faiss.METRIC_INNER_PRODUCT:
        raise ValueError(f"{folder}: index.faiss does not search by inner product; build the index again")
    return index, settings


def _drop(
    rows: NDArray[np.int64], scores: NDArray[np.float32], seen: list[NDArray[np.int64]], subset: Subset
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Drop each query's `seen` rows and rows outside the subset: the others move left, followed by 0 and -inf."""
    base = np.arange(len(rows)) * (len(subset.there_I) + 1)
    keys = np.concatenate([[-1], *(one + start for one, start in zip(seen, base, strict=True))])
    wanted = rows + base[:, None]
    away = keys[np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)] == wanted
    if not subset.whole:
        away |= ~subset.there_I[rows - 1]
    order = np.argsort(away, axis=1, kind="stable")
    away = np.take_along_axis(away, order, axis=1)
    rows, scores = np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)
    return np.where(away, 0, rows), np.where(away, np.float32(-np.inf), scores)


def _to_width(values: NDArray[Any], width: int, fill: float) -> NDArray[Any]:
    """The first `width` columns, padded if there are fewer."""
    short = width - values.shape[1]
    return np.pad(values, ((0, 0), (0, short)), constant_values=fill) if short > 0 else values[:, :width]
