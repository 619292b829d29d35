"""The FAISS index over the exported item vectors, with its measured recall.

index/index.faiss   inner-product index; position p is item row p + 1
index/index.json    factory, metric, nprobe, recall; without times, so the same input gives the same bytes
"""

import dataclasses
import json
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from shortlist.dataset.prepared import Prepared
from shortlist.dataset.split import TRAIN
from shortlist.progress import say
from shortlist.recipe import CHEAPEST, Index, Recipe
from shortlist.retrieval.cheapest_index import choose_index
from shortlist.retrieval.faiss_index import choose_factory, make_index, set_search
from shortlist.retrieval.index_compare import Measured
from shortlist.retrieval.index_quality import Point, choose_point, measure_index
from shortlist.retrieval.onnx_query_tower import OnnxQueryTower
from shortlist.retrieval.refit import REFIT_PARTS
from shortlist.sampling import draw_rows
from shortlist.statistics.collect_for_sources import collect_for_sources
from shortlist.statistics.user_neighbourhoods import describe_neighbourhoods
from shortlist.step_result import StepResult

_QUERIES = 1_000  # for the measurement of recall
_BLOCK = 1 << 18  # vectors checked per block


def build_indexes(
    recipe: Recipe,
    prepared: Prepared,
    retrieval_folder: Path,
    retrieval_before_refit: Path,
    out: Path,
    out_before_refit: Path,
) -> StepResult:
    """Run `build_index` for the served towers, and for those before the refit if the recipe has one.

    Beside the index are the statistics that the candidate sources read: of the train and validation windows for
    serving, and of the train window alone in `out_before_refit`, with and without a refit.
    The result is that of the served towers, and so is the kind of index that `index.factory: cheapest` chooses.
    """
    for folder, parts in ((out_before_refit, (TRAIN,)), (out, REFIT_PARTS)):
        folder.mkdir(parents=True, exist_ok=True)
        statistics = collect_for_sources(recipe, prepared, parts)
        statistics.save(folder)
    neighbours = describe_neighbourhoods(recipe, statistics)  # of the served ones, which are the last
    compared: list[Measured] = []
    if recipe.index.factory == CHEAPEST:
        recipe, compared = _with_cheapest(recipe, prepared, retrieval_folder)
    if recipe.retrieval.refit.epochs:
        build_index(recipe, prepared, retrieval_before_refit, out_before_refit)
    result = build_index(recipe, prepared, retrieval_folder, out)
    if neighbours:
        result.details["user_neighbours"] = neighbours
    if compared:
        result.details["compared"] = [dataclasses.asdict(one) for one in compared]
    return result


def _with_cheapest(recipe: Recipe, prepared: Prepared, retrieval_folder: Path) -> tuple[Recipe, list[Measured]]:
    """The recipe with the chosen index, and all that was measured for the choice."""
    tower, vectors_ND = _open_export(recipe, prepared, retrieval_folder)
    query_QD, _ = draw_query_vectors(prepared, tower, vectors_ND, recipe.seed)
    chosen, compared = choose_index(recipe.index, vectors_ND, query_QD, recipe.seed)
    return recipe.model_copy(update={"index": chosen}), compared


def build_index(recipe: Recipe, prepared: Prepared, retrieval_folder: Path, out: Path) -> StepResult:
    """Index `vectors.npy` of an export and measure it with the validation queries.

    Raises ValueError when the export is not of this recipe and data, its vectors are not finite, the factory is not
    valid, or the recall is below `index.min_recall`.
    """
    tower, vectors_ND = _open_export(recipe, prepared, retrieval_folder)
    factory = choose_factory(recipe.index, len(vectors_ND))
    say(f"index: {factory} over {len(vectors_ND)} items of width {tower.dim}")
    index = make_index(factory, vectors_ND, recipe.seed, recipe.index.sample)
    effort = recipe.index
    set_search(index, nprobe=1, ef_search=effort.ef_search, refine=effort.refine)
    query_QD, origin = draw_query_vectors(prepared, tower, vectors_ND, recipe.seed)
    points = measure_index(index, vectors_ND, query_QD, [] if effort.nprobe == "auto" else [effort.nprobe])
    inverted = faiss.try_extract_index_ivf(index)
    chosen = choose_point(points, effort.nprobe)
    if inverted is not None:
        inverted.nprobe = chosen.nprobe
    say(f"index: recall@100 {chosen.recall_at_100:.3f} at {chosen.queries_per_second:.0f} queries a second")
    if chosen.recall_at_100 < recipe.index.min_recall:
        raise ValueError(_too_low(recipe.index, factory, chosen, points))
    out.mkdir(parents=True, exist_ok=True)
    faiss.write_index(index, str(out / "index.faiss"))
    settings = {
        "factory": factory,
        "metric": tower.metric,
        "num_items": len(vectors_ND),
        "dim": tower.dim,
        "num_lists": inverted.nlist if inverted is not None else 0,
        "nprobe": chosen.nprobe,
        "recall_at_10": chosen.recall_at_10,
        "recall_at_100": chosen.recall_at_100,
        "num_queries": len(query_QD),
        "queries_from": origin,
    }
    (out / "index.json").write_text(json.dumps(settings, indent=1, sort_keys=True) + "\n")
    return StepResult(
        rows_in={"items": len(vectors_ND)},
        rows_out={"items": index.ntotal},
        metrics={
            "index_recall_at_10": chosen.recall_at_10,
            "index_recall_at_100": chosen.recall_at_100,
            "index_queries_per_second": chosen.queries_per_second,
            "index_mb": round((out / "index.faiss").stat().st_size / 2**20, 3),
        },
        details={**settings, "curve": [dataclasses.asdict(point) for point in points]},
    )


def _open_export(recipe: Recipe, prepared: Prepared, folder: Path) -> tuple[OnnxQueryTower, NDArray[np.float32]]:
    """The query tower and the item vectors [N, D] of an export."""
    tower = OnnxQueryTower.open(folder, prepared.store, threads=faiss.omp_get_max_threads())
    if tower.metric != recipe.retrieval.metric:
        raise ValueError(
            f"{folder}: exported for the metric {tower.metric}, but retrieval.metric is "
            f"{recipe.retrieval.metric}; run the training and the export of this recipe again"
        )
    return tower, open_vectors(folder, prepared.store.schema.num_item_rows - 1, tower.dim)


def open_vectors(folder: Path, num_items: int, dim: int) -> NDArray[np.float32]:
    """The item vectors of an export, [N, D], mapped. Raises ValueError when they are of other data or not finite."""
    vectors: NDArray[np.float32] = np.load(folder / "vectors.npy", mmap_mode="r")
    if vectors.shape != (num_items, dim):
        raise ValueError(
            f"{folder}/vectors.npy: {vectors.shape[0]} vectors of width {vectors.shape[-1]}, expected {num_items} "
            f"of width {dim}; run the export on this prepared folder again"
        )
    for start in range(0, num_items, _BLOCK):
        if not np.isfinite(vectors[start : start + _BLOCK]).all():
            raise ValueError(
                f"{folder}/vectors.npy: some vectors are not finite, since the training diverged; "
                "lower retrieval.training.learning_rate, or set retrieval.training.clip_norm"
            )
    return vectors


def draw_query_vectors(
    prepared: Prepared, tower: OnnxQueryTower, vectors_ND: NDArray[np.float32], seed: int
) -> tuple[NDArray[np.float32], str]:
    """Vectors [Q, D] of at most 1,000 validation queries, or of items if there are none; and which of the two."""
    queries = prepared.valid.draw(_QUERIES, seed)
    if len(queries):
        return np.ascontiguousarray(tower.embed(prepared.encode(queries))), "validation"
    return np.ascontiguousarray(vectors_ND[draw_rows(len(vectors_ND), _QUERIES, seed)]), "items"


def _too_low(index: Index, factory: str, chosen: Point, points: list[Point]) -> str:
    found = f"index: {factory} finds {chosen.recall_at_100:.3f} of the best 100 at index.nprobe {chosen.nprobe}"
    enough = [point for point in points if point.recall_at_100 >= index.min_recall]
    if enough:
        fix = f"set index.nprobe to {enough[0].nprobe}, which finds {enough[0].recall_at_100:.3f}"
    else:
        fix = "no nprobe is enough: use a finer index.factory such as 'Flat', or raise index.exact_below"
    return f"{found}, less than index.min_recall {index.min_recall}; {fix}"
