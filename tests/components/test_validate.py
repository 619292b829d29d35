"""The validate step as Kubeflow runs it."""

from pathlib import Path

from kfp.dsl import HTML, Artifact, Dataset, Metrics

from shortlist.components.validate import validate
from shortlist.data.ingest import ingest
from shortlist.recipe import parse_recipe

RECIPE = """
name: music
source: {kind: synthetic, users: 20, items: 100, events: 600, days: 10}
split: {kind: leave_one_out}
"""


def test_the_data_docs_are_a_page_that_a_browser_shows(tmp_path: Path) -> None:
    ingest(parse_recipe(RECIPE), tmp_path / "tables")
    docs = HTML(uri=str(tmp_path / "data_docs"))
    validate.python_func(
        recipe=RECIPE,
        tables=Dataset(uri=str(tmp_path / "tables")),
        clean=Dataset(uri=str(tmp_path / "clean")),
        quarantine=Dataset(uri=str(tmp_path / "quarantine")),
        data_docs=docs,
        record=Artifact(uri=str(tmp_path / "record")),
        metrics=Metrics(uri=str(tmp_path / "metrics")),
    )
    assert docs.uri.endswith("data_docs.html"), "Kubeflow is told where the page is"
    assert "<html" in Path(docs.path).read_text()
