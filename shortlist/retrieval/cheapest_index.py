"""Chooses the smallest index that meets the recipe's target (`index.factory: cheapest`).

Shapes: Q queries, N items, D vector dim.
"""

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shortlist.progress import say
from shortlist.recipe import Index
from shortlist.retrieval.faiss_index import bytes_per_item, make_index
from shortlist.retrieval.index_compare import Kind, Measured, Target, describe_nearest, list_kinds, measure_settings
from shortlist.retrieval.index_quality import exact_scores

_TARGET = "index.min_recall, index.max_ms or index.max_mb"


def choose_index(
    settings: Index, vectors_ND: NDArray[np.float32], query_QD: NDArray[np.float32], seed: int
) -> tuple[Index, list[Measured]]:
    """The settings with the factory of the smallest kind that meets their target, and all that was measured.

    Kinds are built in the order of their bytes per item until one meets the target, in the setting of the least effort
    that does. Raises ValueError when none does.
    """
    count, dim = vectors_ND.shape
    target = Target(settings.min_recall, settings.max_ms, settings.max_mb)
    best_QK = exact_scores(vectors_ND, query_QD, min(100, count))
    found: list[Measured] = []
    for size, kind, refine in _by_size(list_kinds(count, dim), dim):
        if settings.max_mb is not None and size * count > settings.max_mb * 2**20:
            break
        start = time.perf_counter()
        factory = f"{kind.factory},RFlat" if refine else kind.factory
        index = make_index(factory, vectors_ND, seed, settings.sample)
        seconds = round(time.perf_counter() - start, 3)
        measured = measure_settings(kind, index, refine, seconds, vectors_ND, query_QD, best_QK)
        found += measured
        chosen = next((one for one in measured if not target.misses(one)), None)
        last = chosen or measured[-1]
        verdict = "meets the target" if chosen else f"misses {', '.join(target.misses(last))}"
        say(f"index: {factory} {last.setting}".rstrip() + f" {verdict}; {last.mb:.1f} MB")
        if chosen is not None:
            return settings.model_copy(update={"factory": factory, **chosen.search_settings}), found
    raise ValueError(_none(found, target, settings))


def _by_size(kinds: Sequence[Kind], dim: int) -> list[tuple[int, Kind, int]]:
    """Bytes per item, kind and refine of every kind with and without refine, the smallest first."""
    sized = [(bytes_per_item(kind.factory, dim), kind, 0) for kind in kinds]
    sized += [(size + 4 * dim, kind, kind.refine) for size, kind, _ in sized if kind.refine]
    return sorted(sized, key=lambda one: one[0])


def _none(found: Sequence[Measured], target: Target, settings: Index) -> str:
    if not found:
        return f"index.max_mb: {settings.max_mb:g} MiB are too few for any kind of index; raise it"
    near = describe_nearest(found, target)
    return f"index.factory: no kind of index meets the target; relax {_TARGET}. The nearest:{near}"
