"""What is proposed for published files; their rows stay where they are."""

from pathlib import Path

import pytest

from shortlist.data.sources.check_expressions import check_expressions
from shortlist.propose import ProposalRequest, propose, recipe_text
from shortlist.recipe import Recipe, parse_recipe

pytestmark = pytest.mark.data


def proposed(scratch: Path, events: Path, **asked: str) -> Recipe:
    proposal = propose(ProposalRequest(str(events), **asked), scratch)
    written = {"events": str(events)} | {name: asked[name] for name in ("items", "users") if name in asked}
    text = recipe_text(proposal, written)
    recipe = parse_recipe(text)
    check_expressions(recipe, "recipe.yaml", text)
    return recipe


def columns_of(recipe: Recipe) -> dict[str, str]:
    assert recipe.source.kind == "files"
    return recipe.source.events[0].columns


def test_ratings_with_tables_of_films_and_of_users(data: Path, tmp_path: Path) -> None:
    folder = data / "ml-100k"
    recipe = proposed(tmp_path, folder / "u.data.gz", items=str(folder / "u.item.gz"), users=str(folder / "u.user.gz"))
    assert columns_of(recipe) == {"user_id": '"user"', "item_id": "item", "time": '"timestamp"'}
    assert recipe.interactions.positive == "rating >= 4"
    assert recipe.split.kind == "temporal"
    assert recipe.features.item.title == "title"
    assert [one.name for one in recipe.features.user.categorical] == ["gender", "occupation"]


def test_lines_of_a_user_and_items(data: Path, tmp_path: Path) -> None:
    recipe = proposed(tmp_path, data / "beauty/Beauty.txt.gz", time="row")
    assert recipe.source.kind == "files"
    assert recipe.source.events[0].explode == "item_id"
    assert columns_of(recipe)["user_id"] == "CAST(SPLIT_PART(column_1, ' ', 1) AS BIGINT)"
    assert recipe.split.kind == "leave_one_out"


def test_a_list_and_the_next_item(data: Path, tmp_path: Path) -> None:
    recipe = proposed(tmp_path, data / "scientific/Scientific.valid.inter.gz", time="row")
    assert columns_of(recipe)["user_id"] == '"user_id:token"'
    assert 'CONCAT_WS(\' \', "item_id_list:token_seq", "item_id:token")' in columns_of(recipe)["item_id"]
