"""Which configuration of a model enters the test: the best on validation, written down before the test is read.

recipes/bench/picked.json   data -> model -> {config, settings, metric, value, tried}
"""

import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.quality.jobs import OURS, Job, check_done
from benchmarks.quality.protocol import RECIPES, load_grids, load_protocol

PICKED = RECIPES / "picked.json"


class NotPickedError(ValueError):
    """A test figure was asked for without a choice that validation made."""


def models_of(data: str) -> list[str]:
    return [*load_protocol(data).peers, OURS]


def grid_of(model: str) -> list[dict[str, Any]]:
    """All settings of a model that validation chooses from; of ours, the recipe alone."""
    grid = load_grids().get(model, {})
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def valid_jobs(data: str, models: Iterable[str] | None = None) -> list[Job]:
    """Every configuration once, by the first seed."""
    seed = load_protocol(data).seeds[0]
    return [Job(data, model, seed, "valid", one) for model in models or models_of(data) for one in grid_of(model)]


def pick(data: str, model: str, path: Path = PICKED) -> dict[str, Any]:
    """Write down the best of the grid's validation results. Raises ValueError while one of them is missing."""
    protocol, jobs = load_protocol(data), valid_jobs(data, [model])
    check_done(jobs)
    found = []
    for job in jobs:
        means = json.loads((job.folder / "result.json").read_text())["means"]
        found.append((next(iter(means.values()))[protocol.pick_by], job))
    value, best = max(found, key=lambda one: one[0])
    tried = [{"settings": job.settings, "value": round(figure, 6)} for figure, job in found]
    chosen = {
        "config": best.config,
        "settings": best.settings,
        "metric": protocol.pick_by,
        "value": round(value, 6),
        "tried": tried,
    }
    picks = read_picks(path)
    picks.setdefault(data, {})[model] = chosen
    path.write_text(json.dumps(picks, indent=1, sort_keys=True) + "\n")
    return chosen


def picked_job(data: str, model: str, seed: int, path: Path = PICKED) -> Job:
    """The configuration that was picked. Raises NotPickedError when none was, or the recipe changed since."""
    chosen = read_picks(path).get(data, {}).get(model)
    if chosen is None:
        raise NotPickedError(
            f"{data} {model}: no configuration was picked on validation, so the test part stays closed; "
            f"run `python -m benchmarks.quality train {data} --models {model}` and `... pick {data}` first"
        )
    job = Job(data, model, seed, "test", chosen["settings"])
    if job.config != chosen["config"]:
        raise NotPickedError(
            f"{data} {model}: the recipe, the grid or the protocol changed after the pick, so the test part stays "
            f"closed; run `python -m benchmarks.quality train {data} --models {model}` and `... pick {data}` again"
        )
    return job


def read_picks(path: Path = PICKED) -> dict[str, Any]:
    picks: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return picks
