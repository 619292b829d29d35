"""Playlists beside `implicit`: `python -m benchmarks.playlists RUN_FOLDER [--dim 128] [--epochs 100] [--threads 1]`.

RUN_FOLDER is a run of recipes/playlists.yaml, or of another recipe with `evaluation.negatives`. Every system orders the
same 1 + N items of the same test queries. `implicit` is fitted twice: on the positives of train, like the towers, and
on those of train and validation, which the neighbours of what is served read. It prints seconds of training, MRR and
hit rates. `implicit` is one of the packages of requirements/bench.txt.

Shapes: Q queries, N items, M = 1 + N items to order, D width of a vector.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import scipy.sparse as sp
from implicit.bpr import BayesianPersonalizedRanking
from implicit.nearest_neighbours import CosineRecommender
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from shortlist.dataset.prepared import Prepared
from shortlist.dataset.split import TRAIN
from shortlist.evaluation.sampled import draw_sampled
from shortlist.recipe import load_recipe
from shortlist.retrieval.onnx_query_tower import OnnxQueryTower
from shortlist.retrieval.refit import REFIT_PARTS
from shortlist.statistics.co_occurrence import interaction_matrix

_DEPTHS = (1, 5, 10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=100, help="of the BPR of implicit")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    recipe, steps = load_recipe(arguments.run / "recipe.yaml"), next(arguments.run.glob("shortlist-*"))
    prepare = steps / "prepare"
    prepared = Prepared(features=prepare / "features", samples=prepare / "samples", queries=prepare / "queries")
    count = recipe.evaluation.negatives
    if count is None:
        parser.error("the recipe of this run has no evaluation.negatives")
    rng = np.random.default_rng(recipe.seed)
    queries, histories, listed_QM = draw_sampled(prepared, prepared.test, count, rng)
    print(f"{len(queries):,} queries, one positive among {count} negatives")

    tower = OnnxQueryTower.open(steps / "export/retrieval", prepared.store, threads=arguments.threads)
    items_ND = np.concatenate([np.zeros((1, tower.dim), np.float32), np.load(steps / "export/retrieval/vectors.npy")])
    vector_QD = tower.embed(prepared.encode(queries))
    seconds = _step_seconds(arguments.run, "train_retrieval")
    _print(f"shortlist, {recipe.retrieval.loss.kind} alone", seconds, _scores(vector_QD, items_ND, listed_QM))

    for name, parts in (("train", (TRAIN,)), ("train and validation", REFIT_PARTS)):
        _peers(f"of {name}", _matrix(prepared, parts), queries.user, histories, listed_QM, recipe.seed, arguments)


def _matrix(prepared: Prepared, parts: Sequence[int]) -> sp.csr_matrix:
    """The positives of these parts, [user rows, item rows]."""
    samples, num_rows = prepared.samples, prepared.store.schema.num_item_rows
    at = samples.positives(parts)
    matrix = interaction_matrix(samples.user[at], samples.item[at], num_rows)
    matrix.resize(prepared.store.schema.num_user_rows, num_rows)
    return matrix


def _peers(
    of: str,
    matrix: sp.csr_matrix,
    user_Q: NDArray[Any],
    histories: Sequence[NDArray[Any]],
    listed_QM: NDArray[np.int64],
    seed: int,
    arguments: argparse.Namespace,
) -> None:
    bpr = BayesianPersonalizedRanking(
        factors=arguments.dim,
        iterations=arguments.epochs,
        learning_rate=0.05,
        random_state=seed,
        use_gpu=False,
        num_threads=arguments.threads,
    )
    knn = CosineRecommender(K=100, num_threads=arguments.threads)
    with threadpool_limits(arguments.threads, "blas"):
        seconds = _seconds(bpr, matrix)
        _print(f"implicit {of}, BPR", seconds, _scores(bpr.user_factors[user_Q], bpr.item_factors, listed_QM))
        seconds = _seconds(knn, matrix)
        _print(f"implicit {of}, item-kNN", seconds, _near(knn.similarity, histories, listed_QM))


def _step_seconds(run: Path, name: str) -> float:
    steps = json.loads((run / "run.json").read_text())["steps"]
    return float(next(step["seconds"] for step in steps if step["step"] == name))


def _seconds(model: Any, matrix: sp.csr_matrix) -> float:
    begun = perf_counter()
    model.fit(matrix, show_progress=False)
    return perf_counter() - begun


def _scores(
    vector_QD: NDArray[np.float32], items_ND: NDArray[np.float32], listed_QM: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Inner products [Q, M]; -inf for padding."""
    scores_QM = np.einsum("qd,qmd->qm", vector_QD, items_ND[listed_QM])
    return np.where(listed_QM > 0, scores_QM, -np.inf)


def _near(similarity: Any, histories: Sequence[NDArray[Any]], listed_QM: NDArray[np.int64]) -> NDArray[np.float32]:
    """The sum of similarities with the history, [Q, M]; -inf for padding."""
    rows = [
        np.asarray(similarity[listed_M][:, history].sum(axis=1)).ravel()
        for listed_M, history in zip(listed_QM, histories, strict=True)
    ]
    return np.where(listed_QM > 0, np.stack(rows), -np.inf)


def _print(name: str, seconds: float, scores_QM: NDArray[np.float32]) -> None:
    """The target is the first item; it comes after those that score as much."""
    rank_Q = (scores_QM[:, 1:] >= scores_QM[:, :1]).sum(axis=1) + 1
    hits = "  ".join(f"hit@{k} {(rank_Q <= k).mean():.3f}" for k in _DEPTHS)
    print(f"{name:42} {seconds:8.1f} s  MRR {(1 / rank_Q).mean():.3f}  {hits}", flush=True)


if __name__ == "__main__":
    main()
