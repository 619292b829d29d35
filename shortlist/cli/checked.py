"""The recipe of a command that reads data: what is wrong with its SQL is told before anything is started."""

from pathlib import Path

from shortlist.recipe import Recipe, load_recipe


def checked_recipe(path: Path) -> Recipe:
    """The recipe, with every SQL expression parsed. Raises RecipeError."""
    recipe = load_recipe(path)
    check_sql(recipe, path)
    return recipe


def check_sql(recipe: Recipe, path: Path) -> None:
    """Parse every SQL expression of a recipe that was read from `path`. Raises RecipeError."""
    from shortlist.data.sources.check_expressions import check_expressions

    check_expressions(recipe, str(path), path.read_text(encoding="utf-8"))
