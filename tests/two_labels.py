"""A small run of the real steps on data with two labels, whose truth is known: listeners play all tracks and like the
long ones (`likes: long` of the synthetic source)."""

from pathlib import Path

import real_steps

from shortlist.evaluation.evaluate import evaluate
from shortlist.recipe import Recipe, parse_recipe

RECIPE = """
name: two-labels
source: {kind: synthetic, users: 400, items: 600, events: 24000, days: 20, dirty: 0, likes: long}
interactions: {positive: played_ratio_pct >= 50, labels: {liked: liked}}
split: {kind: temporal, test: 3d, valid: 3d}
features:
  history_length: 20
  item: {id_dim: 16, categorical: [{name: artist_id, dim: 8}], numeric: [track_length_seconds], title: title}
retrieval: {dim: 16, hidden: [32], positions: every, training: {batch_size: 32, epochs: 3, learning_rate: 0.003}}
ranking:
  candidates: 100
  neighbours: 20
  objective: {positive: 1, liked: 0.5}
  training: {batch_size: 16, epochs: 8, learning_rate: 0.003}
evaluation: {bootstrap: 100}
serving: {deadline_ms: 20000}
"""


def run(folder: Path) -> Recipe:
    """All steps below `folder`, and `release`, which is assembled from them."""
    recipe = parse_recipe(RECIPE)
    prepared = real_steps.train(recipe, folder)
    evaluate(recipe, prepared, folder / "retrieval", folder / "index", folder / "ranking", None, folder / "evaluation")
    real_steps.make_release(recipe, folder, folder / "evaluation/evaluation.json")
    return recipe
