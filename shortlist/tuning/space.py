"""The fields that trials vary: what may be varied, and a recipe with given values."""

from collections.abc import Iterator, Mapping
from typing import Any

from shortlist.pipelines.recipe_reads import STEPS, first_reader
from shortlist.recipe import Recipe, RecipeError, Space, Step, Tune, parse_recipe
from shortlist.recipe.yaml_text import dump_yaml

TOWER_METRICS = ("recall_at_10", "ndcg_at_10", "mrr_at_10")
"""The validation metrics of the towers."""
_MAY_VARY = ("features", "retrieval", "index", "candidates", "ranking", "seed")


def check_tune(recipe: Recipe, origin: str) -> Tune:
    """The tune block, if each of its values gives a valid recipe. Raises RecipeError."""
    tune = recipe.tune
    if tune is None:
        raise RecipeError(f"{origin}: the recipe has no tune block; add one: docs/tuning.md")
    for path, space in tune.fields.items():
        where = f"{origin}: tune.fields.{path}"
        if path.partition(".")[0] not in _MAY_VARY:
            raise RecipeError(
                f"{where}: a trial must not change what is measured, or how it is served; only fields of "
                f"{', '.join(_MAY_VARY)} can be tuned"
            )
        if STEPS.index(first_reader(path)) > STEPS.index(tune.step):
            raise RecipeError(
                f"{where}: it has no effect on {tune.step}, which comes before {first_reader(path)}; remove it, or set "
                "tune.step: train_ranking"
            )
        if tune.step == "train_retrieval" and path.startswith("retrieval.refit"):
            raise RecipeError(
                f"{where}: it has no effect on the metrics of {tune.step}, since the refit comes after the last "
                "validation; remove it"
            )
        for value in _examples(space):
            _check_metric(with_values(recipe, {path: value}, where), tune, origin)
    return tune


def _check_metric(recipe: Recipe, tune: Tune, origin: str) -> None:
    if tune.step == "train_ranking" and not recipe.ranking.enabled:
        raise RecipeError(f"{origin}: tune.step: train_ranking trains nothing if ranking.enabled is false")
    known = TOWER_METRICS if tune.step == "train_retrieval" else (ranker_metric(recipe),)
    if tune.metric not in known:
        raise RecipeError(
            f"{origin}: tune.metric: {tune.step} of this recipe has no {tune.metric!r}; give {' or '.join(known)}"
        )


def ranker_metric(recipe: Recipe) -> str:
    """The validation metric of the ranker, which has only one."""
    return "auc" if recipe.ranking.learn_from == "labels" else "ndcg_at_10"


def trial_recipe(recipe: Recipe, tune: Tune, values: Mapping[str, Any]) -> Recipe:
    """The recipe of the trial with these values: without a refit if that would follow what is measured."""
    after = {"retrieval.refit.epochs": 0} if tune.step == "train_retrieval" else {}
    return with_values(recipe, {**values, **after})


def shared_until(tune: Tune) -> Step | None:
    """The last step that is the same for all trials, which is run once; None if each trial reads the data itself."""
    first = min(STEPS.index(first_reader(path)) for path in tune.fields)
    return STEPS[first - 1] if STEPS[first] != "ingest" else None


def with_values(recipe: Recipe, values: Mapping[str, Any], origin: str = "recipe") -> Recipe:
    """The recipe with other values, by their paths. Raises RecipeError for a path or a value that it does not have."""
    data = recipe.model_dump(mode="json")
    for path, value in values.items():
        *above, last = path.split(".")
        inside: Any = data
        for part in above:
            inside = _inside(inside, part, path, origin)
        _inside(inside, last, path, origin)
        inside[int(last) if isinstance(inside, list) else last] = value
    return parse_recipe(dump_yaml(data), origin)


def _inside(block: Any, part: str, path: str, origin: str) -> Any:
    if isinstance(block, dict) and part in block:
        return block[part]
    if isinstance(block, list) and part.isdigit() and int(part) < len(block):
        return block[int(part)]
    known = ", ".join(block) if isinstance(block, dict) else f"0 to {len(block) - 1}" if isinstance(block, list) else ""
    raise RecipeError(
        f"{origin}: the recipe has no field {path!r}: there is no {part!r}" + f" in {known}" * bool(known)
    )


def _examples(space: Space) -> Iterator[Any]:
    if space.choice is not None:
        yield from space.choice
    for ends in (space.uniform, space.log_uniform, space.integer):
        yield from ends or ()
