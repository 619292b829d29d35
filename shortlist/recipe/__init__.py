"""The recipe: the one YAML file that a user edits, typed and validated once."""

from shortlist.recipe.data import (
    ColumnRule,
    ColumnType,
    Contract,
    DataFile,
    FilesSource,
    GivenSplit,
    Interactions,
    LeaveOneOutSplit,
    SyntheticSource,
    TableFile,
    TemporalSplit,
    YambdaSource,
)
from shortlist.recipe.load import RecipeError, dump_recipe, load_recipe, parse_recipe, recipe_schema
from shortlist.recipe.model import (
    Categorical,
    Embedding,
    Features,
    Index,
    Ranking,
    Retrieval,
    Text,
    Training,
)
from shortlist.recipe.recipe import Recipe
from shortlist.recipe.resources import Resources, Step
from shortlist.recipe.serve import Evaluation, Gate, Publish, Serving

__all__ = [
    "Categorical",
    "ColumnRule",
    "ColumnType",
    "Contract",
    "DataFile",
    "Embedding",
    "Evaluation",
    "Features",
    "FilesSource",
    "Gate",
    "GivenSplit",
    "Index",
    "Interactions",
    "LeaveOneOutSplit",
    "Publish",
    "Ranking",
    "Recipe",
    "RecipeError",
    "Resources",
    "Retrieval",
    "Serving",
    "Step",
    "SyntheticSource",
    "TableFile",
    "TemporalSplit",
    "Text",
    "Training",
    "YambdaSource",
    "dump_recipe",
    "load_recipe",
    "parse_recipe",
    "recipe_schema",
]
