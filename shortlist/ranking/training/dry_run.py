"""What a dry run of the ranker needs before any tower is trained: candidates, and a task with at least one example.

Shapes: Q queries, K candidates each, N item rows, D width of vectors and item inputs.
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from shortlist.metrics.ranking import find_hits
from shortlist.ranking.network.configure import ranker_config
from shortlist.ranking.network.inputs import ItemTables
from shortlist.ranking.training.batches import Retrieved, label_hits
from shortlist.ranking.training.candidate_task import CandidateTask, answerable
from shortlist.ranking.training.collect import collect_statistics
from shortlist.ranking.training.label_task import LabelTask
from shortlist.recipe import Recipe
from shortlist.retrieval.task import RetrievalTask, take
from shortlist.retrieval.transfer import to_device

_HELD_OUT = 5
"""Every fifth query is held out."""


def first_candidates(recipe: Recipe, towers: RetrievalTask, num_queries: int, out: Path) -> Retrieved | None:
    """The candidates of some validation queries by the current towers, exactly; writes vectors.npy to `out`.

    Where none of them is a target, a target takes the place of the last one: untrained towers find few, and the ranker
    learns from queries with a positive. None if there are not two queries, one to train on and one to validate.
    """
    prepared = towers.prepared
    queries = answerable(recipe, prepared).draw(num_queries, recipe.seed)
    if len(queries) < 2:
        return None
    encoded = prepared.encode(queries)
    towers.model.eval()
    with torch.inference_mode():
        input_ND, vector_ND = towers.catalogue()
        vector_QD = towers.query(encoded, take(input_ND, to_device(towers.device, encoded.history_BL)))
        scores_QN = vector_QD @ vector_ND[1:].T  # row 0 is the unknown item
        found = scores_QN.topk(min(recipe.ranking.candidates, scores_QN.shape[1]))
    rows_QK = found.indices.cpu().numpy().astype(np.int32) + 1
    hits_QK = find_hits(rows_QK, queries.target_offsets, queries.target_items)
    missed = np.flatnonzero(~hits_QK.any(axis=1))
    rows_QK[missed, -1] = queries.target_items[queries.target_offsets[missed]]
    hits_QK[missed, -1] = True
    out.mkdir(parents=True, exist_ok=True)
    np.save(out / "vectors.npy", _numpy(vector_ND[1:]))
    labels = label_hits(rows_QK, queries, recipe.interactions.labels)
    return Retrieved(prepared, queries, _numpy(vector_QD), rows_QK, _numpy(found.values), hits_QK, label_hits=labels)


def ranking_task(recipe: Recipe, found: Retrieved, vectors: Path) -> CandidateTask | LabelTask | None:
    """The task of the recipe's ranker; `vectors` is the folder of vectors.npy. None if there are no labels."""
    prepared = found.prepared
    if recipe.ranking.learn_from == "labels":
        tables = ItemTables(vectors, prepared.store)
        task = LabelTask(recipe, prepared, tables, ranker_config(recipe, prepared, tables, None))
        return task if len(task.train.at_n) and len(task.valid.at_n) else None
    tables = ItemTables(vectors, prepared.store, collect_statistics(recipe, prepared))
    network = ranker_config(recipe, prepared, tables, found)
    return CandidateTask(recipe, found, tables, network, np.arange(0, len(found.queries), _HELD_OUT))


def _numpy(values: torch.Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(values.float().cpu().numpy())
