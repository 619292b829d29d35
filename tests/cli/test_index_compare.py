"""`shortlist index-compare`: the table, the page and the recipe's line of a run, or what is missing and by how much."""

import json
from pathlib import Path

import pytest
from hand_made import item_vectors, write_prepared, write_retrieval
from typer.testing import CliRunner

from shortlist.cli.main import app

NUM_ITEMS = 200
RECIPE = "name: hand-made\nsource: {kind: synthetic}\nsplit: {kind: leave_one_out}\n"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a run that has reached the export."""
    folder = tmp_path / "run"
    write_prepared(folder / "shortlist-1/prepare", [[1, 2, 3]] * 6, [[4]] * 6, NUM_ITEMS)
    write_retrieval(folder / "shortlist-1/export/retrieval", item_vectors(NUM_ITEMS))
    (folder / "recipe.yaml").write_text(RECIPE)
    return folder


def test_it_prints_the_line_and_writes_the_table_and_the_page(run: Path) -> None:
    done = CliRunner().invoke(app, ["index-compare", str(run), "--min-recall", "1"])
    assert done.exit_code == 0, done.output
    content = json.loads((run / "index-compare.json").read_text())
    assert (content["num_items"], content["num_queries"], content["queries_from"]) == (NUM_ITEMS, 6, "validation")
    assert content["chosen"] in content["measured"]
    assert f'index: {{factory: "{content["chosen"]["factory"]}"' in done.output
    assert "index compare 100%" in done.output
    html = (run / "index-compare.html").read_text()
    assert "Recall against speed" in html
    assert "Recall against memory" in html
    assert all(f"<code>{one['factory']}</code>" in html for one in content["measured"])


def test_a_target_that_nothing_meets_names_the_nearest(run: Path) -> None:
    done = CliRunner().invoke(app, ["index-compare", str(run), "--max-mb", "0.00001"])
    assert isinstance(done.exception, ValueError)
    assert "no index meets the target; relax" in str(done.exception)
    assert "MB > 1e-05" in str(done.exception)
    assert json.loads((run / "index-compare.json").read_text())["chosen"] is None


def test_a_run_without_vectors_and_a_folder_that_is_no_run_are_refused(run: Path, tmp_path: Path) -> None:
    (run / "shortlist-1/export/retrieval").rename(tmp_path / "away")
    done = CliRunner().invoke(app, ["index-compare", str(run)])
    assert "the run has no export/retrieval" in str(done.exception)
    done = CliRunner().invoke(app, ["index-compare", str(tmp_path)])
    assert "this is no run" in str(done.exception)
