"""FAISS indexes: the choice of a kind by the number of vectors, and training and filling an index."""

import math
import re
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from shortlist.progress import Progress, say
from shortlist.recipe import CHEAPEST, Index
from shortlist.sampling import draw_rows

_TRAINED_PER_LIST = 64  # vectors per list for k-means; FAISS warns below 39
_BLOCK = 1 << 18  # vectors added per block
SAMPLE = int(Index.model_fields["sample"].default)


def choose_factory(index: Index, num_items: int) -> str:
    """The FAISS factory string of the recipe for a catalogue of this size.

    `cheapest` is resolved by `cheapest_index`; elsewhere it stands for `auto`.
    The number of lists is the power of two nearest to 4 sqrt(N), as FAISS recommends, but never too large to train.
    """
    if index.factory not in ("auto", CHEAPEST):
        return index.factory
    if num_items < max(index.exact_below, 2 * _TRAINED_PER_LIST):
        return "Flat"
    lists = 2 ** min(round(math.log2(4 * math.sqrt(num_items))), int(math.log2(num_items / _TRAINED_PER_LIST)))
    return f"IVF{lists},SQfp16"


def make_index(factory: str, vectors_ND: NDArray[np.float32], seed: int, sample: int = SAMPLE) -> Any:
    """Train on `sample` of the vectors [N, D] and fill the index with all of them.

    The same input and seed give the same bytes for any number of threads.

    K-means runs on the GPU when FAISS has one; the result is always a CPU index.
    """
    count, dim = vectors_ND.shape
    try:
        index = faiss.index_factory(dim, factory, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as error:
        raise ValueError(
            f"index.factory {factory!r} is not a FAISS index for vectors of width {dim}: {_reason(str(error))}; use "
            "'auto', or see the guidelines for choosing an index in the FAISS wiki"
        ) from error
    for part, needed in _trained_parts(factory):
        if needed > count:
            raise ValueError(
                f"index.factory {factory!r}: {part} learns {needed} centroids and needs as many vectors, but there are "
                f"{count} items; use 'auto', or a scalar quantizer instead (SQ8), which needs only one"
            )
    inverted = faiss.try_extract_index_ivf(index)
    lists = inverted.nlist if inverted is not None else 0
    if inverted is not None and not 0 < lists <= count:
        raise ValueError(
            f"index.factory {factory!r} has {lists} lists for {count} items; IVF needs 1 to {count}; use 'auto'"
        )
    trained = np.ascontiguousarray(vectors_ND[draw_rows(count, max(lists * _TRAINED_PER_LIST, sample), seed)])
    try:
        if inverted is not None:
            say(f"index: k-means of {lists} lists on {len(trained)} vectors")
        if inverted is not None and faiss.get_num_gpus() > 0:
            assigner = faiss.index_cpu_to_all_gpus(faiss.IndexFlatIP(inverted.d))
            inverted.clustering_index = assigner  # FAISS keeps no reference itself
        index.train(trained)
        progress = Progress("index: add", count)
        for start in range(0, count, _BLOCK):
            block = np.ascontiguousarray(vectors_ND[start : start + _BLOCK])
            index.add(block)
            progress.advance(len(block))
    except RuntimeError as error:
        raise ValueError(
            f"index.factory {factory!r} cannot index these {count} items of width {dim}: {_reason(str(error))}; "
            "use 'auto', which fits any catalogue"
        ) from error
    return index


def bytes_per_item(factory: str, dim: int) -> int:
    """The memory that an index takes for each vector of width `dim`: codes, ids, links of a graph, exact vectors."""
    whole: Any = faiss.index_factory(dim, factory, faiss.METRIC_INNER_PRODUCT)  # owns its parts
    index, exact = whole, 0
    if isinstance(whole, faiss.IndexRefine):
        index, exact = faiss.downcast_index(whole.base_index), 4 * dim
    if isinstance(index, faiss.IndexHNSW):
        graph: Any = index.hnsw
        storage: Any = faiss.downcast_index(index.storage)
        return int(exact + 4 * graph.nb_neighbors(0) + storage.code_size)
    id_bytes = 8 if faiss.try_extract_index_ivf(index) is not None else 0
    return int(exact + id_bytes + index.code_size)


def set_search(index: Any, *, nprobe: int, ef_search: int, refine: int) -> None:
    """Set how hard an index searches, where it has that setting; `write_index` keeps all three in the file.

    `nprobe` is at most the number of lists.
    """
    inverted = faiss.try_extract_index_ivf(index)
    if inverted is not None:
        inverted.nprobe = min(nprobe, inverted.nlist)
    inner = index
    if isinstance(index, faiss.IndexRefine):
        index.k_factor = float(refine)
        inner = faiss.downcast_index(index.base_index)
    if isinstance(inner, faiss.IndexHNSW):
        inner.hnsw.efSearch = ef_search


def _trained_parts(factory: str) -> list[tuple[str, int]]:
    """The product quantizers of a factory, PQ<parts>[x<bits>] and OPQ<parts>, with their numbers of centroids."""
    found = re.finditer(r"\bO?PQ\d+(?:x(\d+))?", factory)
    return [(part[0], 2 ** int(part[1] or 8)) for part in found]


def _reason(error: str) -> str:
    """The message of FAISS without its source code and location."""
    message = re.sub(r"^Error in .* at \S+:\d+: ", "", error, flags=re.DOTALL)
    message = re.sub(r"^Error: '.*?' failed(?:: )?", "", message, flags=re.DOTALL)
    return message.strip() or "it cannot be searched by inner product"
