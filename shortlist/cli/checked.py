"""Recipes with checked SQL: errors in expressions are reported before anything is started."""

from pathlib import Path

from shortlist.recipe import Recipe, load_recipe


def checked_recipe(path: Path) -> Recipe:
    """A recipe whose SQL expressions are all valid. Raises RecipeError."""
    recipe = load_recipe(path)
    check_sql(recipe, path)
    return recipe


def check_sql(recipe: Recipe, path: Path) -> None:
    """Parse all SQL expressions of a recipe that was read from `path`. Raises RecipeError."""
    from shortlist.data.sources.check_expressions import check_expressions

    check_expressions(recipe, str(path), path.read_text(encoding="utf-8"))
