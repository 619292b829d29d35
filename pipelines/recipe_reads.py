"""Which step is the first to read each part of a recipe, so that a new run can take over the steps before it.

The steps are a chain: each one reads outputs of the one before. A changed part of the recipe therefore invalidates the
first step that reads it and all later ones. A part that is not listed is read by `ingest`, so that forgetting a new
field costs time and never a wrong result. tests/pipelines/test_recipe_reads.py records what each step really reads.
"""

from typing import Any, get_args

from shortlist.recipe import Recipe, Step

STEPS: tuple[Step, ...] = get_args(Step)
"""All steps, in the order in which they run."""

FIRST_READ_BY: dict[str, Step] = {
    "contract": "validate",
    "contract.columns": "ingest",
    "split": "prepare",
    "split.kind": "ingest",
    "split.part": "ingest",
    "features.history_length": "prepare",
    "features.context.clock": "prepare",
    "evaluation.mask_seen": "prepare",
    "evaluation.max_queries": "prepare",
    "ranking.enabled": "prepare",
    "ranking.max_queries": "prepare",
    "features.item.id_dim": "train_retrieval",
    "features.item.unknown": "train_retrieval",
    "features.user.id_dim": "train_retrieval",
    "retrieval": "train_retrieval",
    "index": "train_retrieval",  # hard negatives are searched in an index
    "candidates": "build_index",
    "candidates.sources": "prepare",  # a source may need the times of histories
    "ranking": "train_ranking",
    "rules": "train_ranking",  # prepare checks them, but writes nothing that depends on them; evaluate checks them too
    "evaluation": "evaluate",
    "serving": "evaluate",
    "gate": "publish",
    "gate.metric": "evaluate",
    "gate.confidence": "evaluate",
    "publish": "evaluate",
    "batch": "publish",  # the recipe is part of the release
    "description": "publish",
}
"""Path in the recipe -> the first step that reads it. The longest path that matches decides."""

_WITHOUT_EFFECT = ("resources", "tracking", "tune")
"""Memory and nodes, where a run is logged, what trials vary: the outputs are the same (docs/pipelines.md)."""


def first_reader(path: str) -> Step:
    """The first step that reads a field, like `ranking.training.epochs`."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        if step := FIRST_READ_BY.get(".".join(parts[:length])):
            return step
    return "ingest"


def fields_of(recipe: Recipe) -> dict[str, Any]:
    """Path -> value, as plain JSON, of all fields that outputs depend on; a list is one value."""
    dumped = recipe.model_dump(mode="json", exclude=set(_WITHOUT_EFFECT))
    return dict(_flat(dumped, ""))


def first_read(recipe: Recipe, step: Step) -> dict[str, Any]:
    """The fields that are first read by this step."""
    return {path: value for path, value in fields_of(recipe).items() if first_reader(path) == step}


def differing(fields: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """The paths whose values differ, or that only one of both has."""
    absent = object()
    return [path for path in dict.fromkeys([*fields, *other]) if fields.get(path, absent) != other.get(path, absent)]


def _flat(value: Any, path: str) -> list[tuple[str, Any]]:
    if not isinstance(value, dict) or not value:
        return [(path, value)]
    return [found for key, inner in value.items() for found in _flat(inner, f"{path}.{key}" if path else str(key))]
