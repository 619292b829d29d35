"""The schema beside the recipes is the one that recipes are held against."""

import json
from pathlib import Path

from shortlist.cli.schema import schema_text

RECIPES = Path(__file__).parents[2] / "recipes"


def test_the_schema_beside_the_recipes_is_fresh() -> None:
    assert (RECIPES / "schema.json").read_text() == schema_text(), "run `make compile` and commit the result"


def test_every_field_is_documented_and_no_other_is_allowed() -> None:
    schema = json.loads(schema_text())
    sections = {"Recipe": schema} | schema["$defs"]
    bare = [
        f"{name}.{key}"
        for name, one in sections.items()
        for key, it in one["properties"].items()
        if "description" not in it
    ]
    assert not bare
    assert all(one["additionalProperties"] is False for one in sections.values())


def test_every_recipe_names_the_schema_for_editors() -> None:
    recipes = list(RECIPES.glob("*.yaml"))
    assert recipes
    for path in recipes:
        assert path.read_text().startswith("# yaml-language-server: $schema=schema.json"), path.name
