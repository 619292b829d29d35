"""The dry run of a recipe: each model takes one step, in a folder that goes away."""

from pathlib import Path

import log_shapes as shapes
import pytest

from shortlist.dry_run import try_recipe
from shortlist.propose import ProposalRequest, propose, recipe_text
from shortlist.recipe import parse_recipe


@pytest.mark.parametrize(
    ("ranking", "expected"),
    [
        ("  learn_from: candidates\n", "ranker     one batch, one step, a checkpoint; saved, opened, and scored "),
        ("  learn_from: labels\n", "ranker     one batch, one step, a checkpoint; saved, opened, and scored "),
        ("  enabled: false\n", ""),
    ],
)
def test_the_ranker_takes_a_step_where_the_recipe_has_one(ranking: str, expected: str, tmp_path: Path) -> None:
    log = shapes.no_header(tmp_path)
    text = recipe_text(propose(ProposalRequest(str(log)), tmp_path / "scratch"), {"events": str(log)})
    recipe = parse_recipe(text.replace("ranking:\n", f"ranking:\n{ranking}"))
    lines: list[str] = []
    try_recipe(recipe, tmp_path / "trial", lines.append)
    found = [line for line in lines if line.startswith("ranker")]
    assert len(found) == bool(expected)
    assert all(line.startswith(expected) for line in found)
