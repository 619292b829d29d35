"""Encoders of item texts side by side: `python -m benchmarks.text_encoders RECIPE [ENCODER...]`.

Without any training, each product of a catalogue is ordered by the cosine of its text to that of the last product of a
validation query: recall@10 of the targets, and of those targets that no event of the train window has. It also prints
the seconds of the step `prepare`, with a cold and with a warm cache of vectors.

Shapes: Q queries, N item rows, D width of a text vector.
"""

import argparse
import os
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from shortlist.data.ingest import ingest
from shortlist.dataset.prepare import prepare
from shortlist.dataset.prepared import Prepared
from shortlist.recipe import Recipe, load_recipe

_K = 10
_BLOCK = 512


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("encoders", nargs="*", default=["tfidf", "wordllama"])
    given = parser.parse_args()
    recipe = load_recipe(given.recipe)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        ingest(recipe, folder / "tables")
        print(f"{'encoder':24}{'recall@10':>10}{'of new':>10}{'prepare s':>11}{'again s':>9}")
        for encoder in given.encoders:
            cold = _prepare(recipe, encoder, folder)
            warm = _prepare(recipe, encoder, folder)
            of_all, of_new = _recall(Prepared.open(folder / "prepared"))
            print(f"{encoder[-24:]:24}{of_all:10.3f}{of_new:10.3f}{cold:11.1f}{warm:9.1f}", flush=True)


def _prepare(recipe: Recipe, encoder: str, folder: Path) -> float:
    text = recipe.features.item.text
    assert text is not None, "the recipe has no features.item.text"
    item = recipe.features.item.model_copy(update={"text": text.model_copy(update={"encoder": encoder})})
    changed = recipe.model_copy(update={"features": recipe.features.model_copy(update={"item": item})})
    begun = perf_counter()
    prepare(changed, folder / "tables", folder / "prepared")
    return perf_counter() - begun


def _recall(prepared: Prepared) -> tuple[float, float]:
    """Recall@10 of all targets, and of those without an event in the train window."""
    queries, store = prepared.valid, prepared.store
    assert store.item_text is not None
    vectors_ND = _unit(np.asarray(store.item_text))
    last_Q = np.array([history[-1] if len(history) else 0 for history in prepared.histories(queries)])
    untrained = np.asarray(store.popularity) == 0
    hits, new = [], []
    for start in range(0, len(last_Q), _BLOCK):
        last = last_Q[start : start + _BLOCK]
        scores = vectors_ND[last] @ vectors_ND.T
        scores[:, 0] = -np.inf
        scores[np.arange(len(last)), last] = -np.inf
        best = np.argpartition(-scores, _K, axis=1)[:, :_K]
        for at, _ in enumerate(last):
            targets = queries.target_items[slice(*queries.target_offsets[start + at : start + at + 2])]
            hits += np.isin(targets, best[at]).tolist() if last[at] else [False] * len(targets)
            new += untrained[targets].tolist()
    hit, is_new = np.array(hits), np.array(new)
    return float(hit.mean()), float(hit[is_new].mean()) if is_new.any() else float("nan")


def _unit(vectors_ND: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(vectors_ND, axis=1, keepdims=True)
    return np.asarray(vectors_ND / np.where(length > 0, length, 1), np.float32)


if __name__ == "__main__":
    main()
