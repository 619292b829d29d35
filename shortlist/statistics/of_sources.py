"""The item statistics that the candidate sources of a recipe read, in the folder of the index.

index/neighbour_*.npy, alike_*.npy, recent_popularity.npy   as in `ItemStatistics`, if a source reads them
"""

from pathlib import Path

from shortlist.recipe import Recipe
from shortlist.recipe.candidates import ItemNeighbours as ItemNeighboursSettings
from shortlist.recipe.candidates import Trending, UserNeighbours
from shortlist.statistics.item_statistics import ItemStatistics


def half_lives_of(recipe: Recipe) -> list[int]:
    """The half-lives of the trending sources, in seconds and ascending order: the columns of `recent_NR`."""
    return sorted({one.half_life for one in recipe.candidates.with_exploration if isinstance(one, Trending)})


def num_neighbours(recipe: Recipe) -> int:
    """The number of neighbours of each item; 0 if no source reads neighbours."""
    kinds = recipe.candidates.all_sources
    return max((one.neighbours for one in kinds if isinstance(one, ItemNeighboursSettings)), default=0)


def reads_users(recipe: Recipe) -> bool:
    """Whether a source reads the users of the items."""
    return any(isinstance(one, UserNeighbours) and one.by is None for one in recipe.candidates.all_sources)


def users_compared_by(recipe: Recipe) -> list[str]:
    """The categories by which sources compare users."""
    sources = recipe.candidates.all_sources
    return sorted({one.by for one in sources if isinstance(one, UserNeighbours) and one.by is not None})


def reads_statistics(recipe: Recipe) -> bool:
    """Whether a source reads any statistics."""
    return bool(half_lives_of(recipe) or num_neighbours(recipe) or users_compared_by(recipe)) or reads_users(recipe)


def open_for_sources(recipe: Recipe, folder: Path, num_rows: int) -> ItemStatistics:
    """Raises ValueError when a file is missing or broken, or is of other items."""
    found = ItemStatistics.open(
        folder,
        num_tables=(2 if recipe.interactions.ordered else 1) if num_neighbours(recipe) else 0,
        user_knn=reads_users(recipe),
        half_lives=len(half_lives_of(recipe)),
        users_by=users_compared_by(recipe),
    )
    for name, rows in found.num_rows().items():
        if rows != num_rows:
            raise ValueError(
                f"{folder}: the {name} have {rows} item rows, the features have {num_rows}; take both from the same run"
            )
    return found
