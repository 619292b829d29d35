"""FAISS indexes of vectors: which kind for how many, and how one is trained and filled."""

import math
import re
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from shortlist.progress import Progress, say
from shortlist.recipe import Index
from shortlist.sampling import draw_rows

_TRAINED_PER_LIST = 64  # vectors that k-means sees for each list; FAISS warns below 39
_BLOCK = 1 << 18  # vectors added at a time


def choose_factory(index: Index, num_items: int) -> str:
    """The FAISS factory string of the recipe for a catalogue of this size.

    Lists are the power of two nearest to 4 sqrt(N), as FAISS advises, but never too many to train.
    """
    if index.factory != "auto":
        return index.factory
    if num_items < max(index.exact_below, 2 * _TRAINED_PER_LIST):
        return "Flat"
    lists = 2 ** min(round(math.log2(4 * math.sqrt(num_items))), int(math.log2(num_items / _TRAINED_PER_LIST)))
    return f"IVF{lists}_HNSW32,SQ8"


def make_index(factory: str, vectors_ND: NDArray[np.float32], seed: int) -> Any:
    """Train and fill the index; one input and seed give the same bytes, however many threads there are.

    K-means runs on the GPU when FAISS has one; the index is a CPU index all the same.
    """
    count, dim = vectors_ND.shape
    try:
        index = faiss.index_factory(dim, factory, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as error:
        raise ValueError(
            f"index.factory {factory!r} is no FAISS index for vectors of width {dim}: {_reason(str(error))}; use "
            "'auto', or see the guideline to choose an index in FAISS's wiki"
        ) from error
    for part, needed in _trained_parts(factory):
        if needed > count:
            raise ValueError(
                f"index.factory {factory!r}: {part} learns {needed} centroids and needs as many vectors, there are "
                f"{count} items; use 'auto', or a scalar quantizer in its place (SQ8), which needs no more than one"
            )
    inverted = faiss.try_extract_index_ivf(index)
    lists = inverted.nlist if inverted is not None else 0
    if inverted is not None and not 0 < lists <= count:
        raise ValueError(
            f"index.factory {factory!r} has {lists} lists for {count} items; IVF needs 1 to {count}; use 'auto'"
        )
    trained = np.ascontiguousarray(vectors_ND[draw_rows(count, max(lists * _TRAINED_PER_LIST, 1 << 16), seed)])
    try:
        if inverted is not None:
            say(f"index: k-means of {lists} lists on {len(trained)} vectors")
        if inverted is not None and faiss.get_num_gpus() > 0:
            assigner = faiss.index_cpu_to_all_gpus(faiss.IndexFlatIP(inverted.d))
            inverted.clustering_index = assigner  # FAISS keeps no reference of its own
        index.train(trained)
        progress = Progress("index: add", count)
        for start in range(0, count, _BLOCK):
            block = np.ascontiguousarray(vectors_ND[start : start + _BLOCK])
            index.add(block)
            progress.advance(len(block))
    except RuntimeError as error:
        raise ValueError(
            f"index.factory {factory!r} cannot hold these {count} items of width {dim}: {_reason(str(error))}; "
            "use 'auto', which fits any catalogue"
        ) from error
    return index


def _trained_parts(factory: str) -> list[tuple[str, int]]:
    """The product quantizers that a factory names, PQ<parts>[x<bits>] and OPQ<parts>, and the centroids of each."""
    found = re.finditer(r"\bO?PQ\d+(?:x(\d+))?", factory)
    return [(part[0], 2 ** int(part[1] or 8)) for part in found]


def _reason(error: str) -> str:
    """What FAISS says, without its own code and the place in it."""
    told = re.sub(r"^Error in .* at \S+:\d+: ", "", error, flags=re.DOTALL)
    told = re.sub(r"^Error: '.*?' failed(?:: )?", "", told, flags=re.DOTALL)
    return told.strip() or "it cannot be searched by inner product"
