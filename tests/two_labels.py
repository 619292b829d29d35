"""A small run of the real steps on data with two labels, whose truth is known: listeners play all tracks and like the
long ones (`likes: long` of the synthetic source)."""

from pathlib import Path

from shortlist.data.ingest import ingest
from shortlist.dataset.prepare import prepare
from shortlist.dataset.prepared import Prepared
from shortlist.evaluation.evaluate import evaluate
from shortlist.ranking.training.train_ranking import train_ranking
from shortlist.recipe import Recipe, parse_recipe
from shortlist.release.bundle import Lineage, assemble
from shortlist.retrieval.build_index import build_index
from shortlist.retrieval.export import export
from shortlist.retrieval.train_retrieval import train_retrieval

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
    ingest(recipe, folder / "tables")
    prepare(recipe, folder / "tables", folder / "prepared")
    prepared = Prepared.open(folder / "prepared")
    train_retrieval(recipe, prepared, folder / "checkpoint")
    export(recipe, prepared, folder / "checkpoint", folder / "retrieval")
    build_index(recipe, prepared, folder / "retrieval", folder / "index")
    trained = [folder / "retrieval", folder / "index"]
    train_ranking(recipe, prepared, *trained, folder / "ranking")
    evaluate(recipe, prepared, *trained, folder / "ranking", None, folder / "evaluation")
    parts = {name: folder / name for name in ("retrieval", "index", "ranking")}
    parts["features"] = folder / "prepared/features"
    lineage = Lineage(recipe_sha256="", code="", data="")
    assemble(parts, recipe, folder / "evaluation/evaluation.json", lineage, folder / "release")
    return recipe
