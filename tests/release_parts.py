"""Small step folders, as the steps before publish leave them."""

import json
from pathlib import Path
from typing import Any

from shortlist.recipe import Recipe, parse_recipe
from shortlist.release.bundle import assemble, lineage_of
from shortlist.release.manifest import Manifest
from shortlist.step_result import StepRecord, StepResult

RECIPE = """\
# a comment that a user wrote
name: shop
source: {kind: synthetic}
split: {kind: temporal, test: 7d, valid: 7d}
"""


def recipe_to(url: str, text: str = RECIPE) -> Recipe:
    return parse_recipe(f"{text}\npublish: {{to: {url}}}\n")


def interval(mean: float, half: float = 0.01) -> dict[str, float]:
    return {"mean": mean, "low": mean - half, "high": mean + half}


def evaluation(
    over_popularity: float = 0.1, live: dict[str, Any] | None = None, ranker_brings: float | None = None
) -> dict[str, Any]:
    """With `ranker_brings`, the whole path has a ranker; retrieval alone is so much worse everywhere."""
    differences = {"path_minus_popularity": {"ndcg_at_10": interval(over_popularity)}}
    systems = {"path": {"ndcg_at_10": interval(0.2), "recall_at_10": interval(0.3)}}
    if ranker_brings is not None:
        alone = 0.2 - ranker_brings
        systems["retrieval"] = {"ndcg_at_10": interval(alone), "recall_at_10": interval(0.3)}
        differences["path_minus_retrieval"] = {"ndcg_at_10": interval(ranker_brings)}
        differences["retrieval_minus_popularity"] = {"ndcg_at_10": interval(over_popularity - ranker_brings)}
    return {
        "queries": 100,
        "k": [10],
        "systems": systems,
        "differences": differences,
        "live": live,
    }


def compared(release: str, difference: float, half: float = 0.01) -> dict[str, Any]:
    return {
        "release": release,
        "metrics": {"ndcg_at_10": interval(0.2)},
        "difference": {"ndcg_at_10": interval(difference, half)},
        "difference_of_retrieval": {"ndcg_at_10": interval(difference - 0.1, half)},
        "skipped": None,
    }


def write_steps(
    folder: Path, content: str = "one", judged: dict[str, Any] | None = None, split: str = "one"
) -> dict[str, Path]:
    """What publish is given, in its order; another `content`, or `split` of prepare, makes another release."""
    told = StepResult(details={"digest": f"features and {split}", "split_digest": split})
    files = {
        "features/schema.json": "{}",
        "features/items/popularity.npy": f"{content} " * 100,
        "record": StepRecord(step="prepare", seconds=1, peak_memory_mb=1, result=told).model_dump_json(),
        "retrieval/query_tower.onnx": f"{content} tower",
        "retrieval/vectors.npy": f"{content} vectors",
        "index/index.faiss": f"{content} index" * 1000,
        "ranking/ranker.safetensors": f"{content} ranker",
        "evaluation/evaluation.json": json.dumps(judged or evaluation()),
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return {name: folder / name for name in ("features", "record", "retrieval", "index", "ranking", "evaluation")}


def make_release(folder: Path, content: str = "one") -> tuple[Path, Manifest]:
    """An assembled release's folder and its manifest."""
    steps = write_steps(folder / "steps" / content[:8], content)
    parts = {name: steps[name] for name in ("features", "retrieval", "index", "ranking")}
    into = folder / "assembled" / content[:8]
    manifest = assemble(
        parts,
        recipe_to(".work"),
        steps["evaluation"] / "evaluation.json",
        lineage_of(parse_recipe(RECIPE), "data"),
        into,
    )
    return into, manifest
