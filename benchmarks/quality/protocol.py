"""What is measured on a data set, fixed before anything is run: `recipes/bench/<data>.protocol.yaml`.

The recipe beside it is what we enter; the peers answer the same queries, over the same items, with the same items
left out.
"""

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from shortlist.recipe import Recipe, load_recipe

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "recipes/bench"


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Published(Section):
    """A figure that others report; it is quoted, never recomputed."""

    model: str
    reference: str
    metrics: dict[str, float]
    same_rows: bool = True
    """False where the paper's rows, ties or candidates are known to differ."""


class Candidates(Section):
    """Which items are ranked."""

    kind: Literal["all", "sampled"] = "all"
    negatives: int = 0
    """Of `sampled`: so many items that the user never had stand beside the targets, drawn uniformly."""
    seed: int = 0
    """Of the draw; the same negatives for every model."""


class Protocol(Section):
    """One data set's rules."""

    data: str
    title: str
    source: str
    """Where the split and the rules come from."""
    split: str
    """The split in words; the recipe's `split` carries it out."""
    mask: Literal["history", "nothing"] = "history"
    """Which items a list must not hold."""
    candidates: Candidates = Candidates()
    metrics: list[str] = Field(min_length=1)
    """Like recall@20; `mrr` without a depth looks at the whole list."""
    pick_by: str
    """The metric that configurations are picked by, on the validation part."""
    seeds: list[int] = Field([1, 2, 3], min_length=1)
    """Of models that draw anything; the others run once."""
    expected: dict[str, int] = {}
    """Users, items, train and valid positives and test targets that the raw files must give: another count stops."""
    peers: list[str] = []
    left_out: dict[str, str] = {}
    """Peers that are not run on this set, and why."""
    must_exceed: dict[str, float] = {}
    """The figures that a first-rate result has to beat."""
    published: list[Published] = []

    @model_validator(mode="after")
    def _fits_together(self) -> "Protocol":
        if self.pick_by not in self.metrics:
            raise ValueError(f"pick_by {self.pick_by!r} is none of the metrics {', '.join(self.metrics)}")
        for metric in self.metrics:
            name, _, depth = metric.partition("@")
            if name not in ("recall", "ndcg", "hit_rate", "mrr", "map", "auc") or (depth and not depth.isdigit()):
                raise ValueError(f"metric {metric!r} is none of recall, ndcg, hit_rate, mrr, map with a depth, or auc")
        return self


def load_protocol(data: str, folder: Path = RECIPES) -> Protocol:
    """Raises ValueError with the data sets that there are."""
    path = folder / f"{data}.protocol.yaml"
    if not path.exists():
        raise ValueError(f"there is no bench for {data!r}; there are {', '.join(all_data(folder))}")
    return Protocol.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))


def all_data(folder: Path = RECIPES) -> list[str]:
    """Every data set with a protocol, by name."""
    return sorted(path.name.removesuffix(".protocol.yaml") for path in folder.glob("*.protocol.yaml"))


def load_grids(folder: Path = RECIPES) -> dict[str, dict[str, list[Any]]]:
    """Model -> setting -> the values that validation picks from, the same for all data sets."""
    grids: dict[str, dict[str, list[Any]]] = yaml.safe_load((folder / "grids.yaml").read_text(encoding="utf-8"))
    return grids


def recipe_of(data: str, changes: dict[str, Any] | None = None, folder: Path = RECIPES) -> Recipe:
    """Our recipe of a data set, with `changes` by dotted path, like `retrieval.training.epochs`."""
    recipe = load_recipe(folder / f"{data}.yaml")
    protocol = load_protocol(data, folder)
    if recipe.evaluation.mask_seen != (protocol.mask == "history"):
        raise ValueError(
            f"{data}: the protocol masks {protocol.mask}, the recipe's evaluation.mask_seen says otherwise"
        )
    if not changes:
        return recipe
    values = recipe.model_dump(mode="json")
    for path, value in changes.items():
        *parents, last = path.split(".")
        section = values
        for name in parents:
            section = section[name]
        if last not in section:
            raise ValueError(f"{path}: the recipe has no such field; there are {', '.join(section)}")
        section[last] = value
    return Recipe.model_validate(values)
