"""What we enter: the recipe, carried through the very functions that the pipeline's components call."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.quality.judge import Rank
from benchmarks.quality.rows import Ints, Part
from shortlist.dataset.prepared import Prepared
from shortlist.evaluation.whole_path import WholePath
from shortlist.ranking.training.train_ranking import train_ranking
from shortlist.recipe import Recipe
from shortlist.retrieval.build_index import build_index
from shortlist.retrieval.export import export
from shortlist.retrieval.train_retrieval import train_retrieval

RETRIEVAL, PATH = "shortlist-retrieval", "shortlist-path"


@contextmanager
def trained(recipe: Recipe, prepared_folder: Path, part: Part, checkpoints: Path) -> Iterator[tuple[Rank, Any]]:
    """Train all that the recipe asks for; what ranks the queries of `part`, and the results of the steps.

    `checkpoints` outlives an interruption: the training of the towers goes on from there. The whole path is judged
    on the test part alone, because the ranker learns from the validation queries; and so does a refit.
    """
    if part == "valid":
        retrieval = recipe.retrieval
        no_refit = retrieval.refit.model_copy(update={"epochs": 0})
        recipe = recipe.model_copy(update={"retrieval": retrieval.model_copy(update={"refit": no_refit})})
    path_too = part == "test" and recipe.ranking.enabled
    prepared = Prepared.open(prepared_folder)
    with TemporaryDirectory() as folder:
        work = Path(folder)
        result = {"train_retrieval": train_retrieval(recipe, prepared, checkpoints)}
        result["export"] = export(recipe, prepared, checkpoints, work / "retrieval")
        result["build_index"] = build_index(recipe, prepared, work / "retrieval", work / "index")
        if recipe.ranking.enabled:
            result["train_ranking"] = train_ranking(
                recipe, prepared, work / "retrieval", work / "index", work / "ranking"
            )
        path = WholePath.open(
            recipe,
            prepared.store,
            work / "retrieval",
            work / "index",
            work / "ranking" if path_too else None,
            threads=torch.get_num_threads(),
        )
        queries = prepared.valid if part == "valid" else prepared.test

        def rank(at: Ints, k: int) -> dict[str, Ints]:
            found = path.recommend_queries(prepared, queries.take(at), k)
            retrieved, ranked = found.retrieved.rows_EK, found.ranked.rows_EK
            return {RETRIEVAL: retrieved, PATH: ranked} if path_too else {RETRIEVAL: retrieved}

        yield rank, {step: one.model_dump(mode="json") for step, one in result.items()}
