"""The recipe of a command that reads data: what is wrong with its SQL is told before anything is started."""

from pathlib import Path

from shortlist.recipe import Recipe, load_recipe


def checked_recipe(path: Path) -> Recipe:
    """The recipe, with every SQL expression parsed. Raises RecipeError."""
    from shortlist.sources.check_expressions import check_expressions

    recipe = load_recipe(path)
    check_expressions(recipe, str(path), path.read_text(encoding="utf-8"))
    return recipe
