"""How many targets the candidates of a run hold, by blend: `python -m benchmarks.blends RUN_FOLDER`.

For a run whose recipe has `candidates.sources`. The queries are those of validation, with the towers and statistics
that have not seen them, so that a blend can be chosen before the test is read. All blends give the same number of
candidates.

Shapes: Q queries, A of them answered at once, K candidates each.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.dataset.prepared import Prepared
from shortlist.metrics.bootstrap import intervals
from shortlist.metrics.ranking import find_hits
from shortlist.recipe import Recipe, load_recipe
from shortlist.recommend.query import QueryBatch
from shortlist.recommend.recommender import Recommender
from shortlist.retrieval.refit import for_ranker

_QUERIES, _AT_ONCE = 2_000, 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    run: Path = parser.parse_args().run
    recipe, steps = load_recipe(run / "recipe.yaml"), next(run.glob("shortlist-*"))
    prepared = Prepared(features=steps / "prepare/features", queries=steps / "prepare/queries")
    print(f"recall of {recipe.ranking.candidates} candidates on validation queries, and minus the first line")
    reference: NDArray[np.float64] | None = None
    for name, candidates in _variants(recipe).items():
        recall_Q = _recall(recipe.model_copy(update={"candidates": candidates}), prepared, steps)
        reference = recall_Q if reference is None else reference
        both = np.stack([recall_Q, recall_Q - reference], axis=1)
        mean, low, high = intervals(both, resamples=1_000, confidence=0.95, seed=recipe.seed)
        print(f"{name:32} {mean[0]:.4f}  {mean[1]:+.4f} [{low[1]:+.4f}, {high[1]:+.4f}]", flush=True)


def _variants(recipe: Recipe) -> dict[str, Any]:
    """Each source alone, and all by both blends."""
    candidates = recipe.candidates
    found = {one.label: candidates.model_copy(update={"sources": [one]}) for one in candidates.sources}
    return found | {
        f"all, {blend}": candidates.model_copy(update={"blend": blend}) for blend in ("reciprocal_rank", "quotas")
    }


def _recall(recipe: Recipe, prepared: Prepared, steps: Path) -> NDArray[np.float64]:
    """The share of its targets that the candidates of each query hold, [Q]."""
    before = steps / "build-index/index_before_refit"
    towers = for_ranker(recipe, served=steps / "export/retrieval", before_refit=steps / "export/retrieval_before_refit")
    index = for_ranker(recipe, served=steps / "build-index/index", before_refit=before)
    recommender = Recommender.open(recipe, prepared.store, towers, index, ranks=True, statistics=before)
    queries = prepared.valid.draw(_QUERIES, recipe.seed)
    hits_Q = np.zeros(len(queries))
    for start in range(0, len(queries), _AT_ONCE):
        part = queries.take(np.arange(start, min(start + _AT_ONCE, len(queries))))
        batch = QueryBatch(prepared.encode(part), part.time, prepared.histories(part))
        ranked = recommender.candidates(batch, np.ones(len(part), np.int64)).ranked
        if ranked is not None:
            of = part.take(ranked.at_A)
            hits_AK = find_hits(ranked.found.rows_AK, of.target_offsets, of.target_items)
            hits_Q[start + ranked.at_A] = hits_AK.sum(axis=1)
    return hits_Q / np.maximum(np.diff(queries.target_offsets), 1)


if __name__ == "__main__":
    main()
