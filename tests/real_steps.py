"""The real steps of a small recipe, and the release of what they make."""

from pathlib import Path

from shortlist.data.ingest import ingest
from shortlist.dataset.prepare import prepare
from shortlist.dataset.prepared import Prepared
from shortlist.ranking.training.train_ranking import train_ranking
from shortlist.recipe import Recipe
from shortlist.release.bundle import Lineage, assemble
from shortlist.retrieval.build_index import build_index
from shortlist.retrieval.export import export
from shortlist.retrieval.train_retrieval import train_retrieval


def train(recipe: Recipe, folder: Path) -> Prepared:
    """Everything up to the ranker, each step in a folder of its name."""
    ingest(recipe, folder / "tables")
    prepare(recipe, folder / "tables", folder / "prepared")
    prepared = Prepared.open(folder / "prepared")
    train_retrieval(recipe, prepared, folder / "checkpoint")
    export(recipe, prepared, folder / "checkpoint", folder / "retrieval")
    build_index(recipe, prepared, folder / "retrieval", folder / "index")
    train_ranking(recipe, prepared, folder / "retrieval", folder / "index", folder / "ranking")
    return prepared


def make_release(recipe: Recipe, folder: Path, evaluation: Path | None = None) -> Path:
    """The release of what `train` left; without an evaluation, one that says nothing."""
    if evaluation is None:
        evaluation = folder / "evaluation.json"
        evaluation.write_text('{"systems": {"path": {}}}')
    parts = {name: folder / name for name in ("retrieval", "index", "ranking")}
    parts["features"] = folder / "prepared/features"
    assemble(parts, recipe, evaluation, Lineage(recipe_sha256="", code="", data=""), folder / "release")
    return folder / "release"
