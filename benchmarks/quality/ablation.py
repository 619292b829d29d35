"""What each part of our recipe brings: it is left out or exchanged, one at a time, and judged on validation.

recipes/bench/ablation.yaml says what is changed and by which seeds; docs/figures/ablation.json has a row a change, the
recipe as it stands first. Retrieval is compared query by query with the recipe as it stands, each query by its
mean over the seeds; what the ranker adds is the difference on the validation queries that it holds out, from the
result of its step. Each seed holds out others, so where there are few queries several seeds say more.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from benchmarks.quality.jobs import OURS, Job, check_done
from benchmarks.quality.protocol import RECIPES, load_protocol
from shortlist.metrics.bootstrap import intervals

CHANGES = RECIPES / "ablation.yaml"
_RESAMPLES = 2_000
_GAIN = "heldout_difference"


class Change(BaseModel):
    """One thing that is otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    told: str
    settings: dict[str, Any] = Field(alias="set")


class Ablation(BaseModel):
    """Of one data set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seeds: list[int]
    changes: list[Change]


def ablation_of(data: str, path: Path = CHANGES) -> Ablation:
    """Raises ValueError when the file is not what it should be or says nothing of this data set."""
    found = all_ablations(path)
    if data not in found:
        raise ValueError(f"{path}: says nothing of {data}; it has {', '.join(found)}")
    return found[data]


def all_ablations(path: Path = CHANGES) -> dict[str, Ablation]:
    """Of every data set that the file names. Raises ValueError when the file is not what it should be."""
    return TypeAdapter(dict[str, Ablation]).validate_python(yaml.safe_load(path.read_text(encoding="utf-8")))


def ablation_jobs(data: str) -> list[Job]:
    """The recipe as it stands, and with each change, by all seeds one after the other."""
    ablation = ablation_of(data)
    settings: list[dict[str, Any]] = [{}, *(change.settings for change in ablation.changes)]
    return [Job(data, OURS, seed, "valid", one) for one in settings for seed in ablation.seeds]


def ablation_rows(data: str) -> list[dict[str, Any]]:
    """A row a change. Raises ValueError while a run is missing."""
    ablation, jobs, metric = ablation_of(data), ablation_jobs(data), load_protocol(data).pick_by
    check_done(jobs)
    told = ["as it stands", *(change.told for change in ablation.changes)]
    runs = [jobs[first : first + len(ablation.seeds)] for first in range(0, len(jobs), len(ablation.seeds))]
    stands_Q = _values(runs[0], metric)
    return [
        {
            "data": data,
            "change": name,
            "settings": run[0].settings,
            "metric": metric,
            "seeds": ablation.seeds,
            "command": f"python -m benchmarks.quality ablate {data}",
            **_against(_values(run, metric), stands_Q),
            **_gain(run),
        }
        for name, run in zip(told, runs, strict=True)
    ]


def ablation_table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Markdown lines of the rows of one data set."""
    seeds = rows[0]["seeds"]
    by = f"mean of {len(seeds)} seeds" if len(seeds) > 1 else f"seed {seeds[0]}"
    lines = [
        f"What each part brings, {rows[0]['metric']} on validation, {by}:",
        "",
        "| change | retrieval | against the recipe as it stands | what the ranker adds, NDCG@10 |",
        "| --- | --- | --- | --- |",
    ]
    for row in rows:
        told = row["difference"], row["low"], row["high"]
        against = interval(*told) if any(told) else ""  # a change of the ranker leaves retrieval as it stands
        gain = interval(row["gain"], row["gain_low"], row["gain_high"]) if "gain" in row else "no ranker"
        lines.append(f"| {row['change']} | {row['value']:.4f} | {against} | {gain} |")
    return lines


def interval(mean: float, low: float, high: float) -> str:
    """A difference as the document tells it."""
    return f"{mean:+.4f} ({low:+.4f} to {high:+.4f})"


def _values(run: Sequence[Job], metric: str) -> Any:
    """Of each query, the mean over the seeds."""
    arrays = [np.load(job.folder / "values.npz") for job in run]
    name = next(name for name in arrays[0].files if name.endswith(f"/{metric}"))
    return np.mean([one[name] for one in arrays], axis=0, dtype=np.float64)


def _against(values_Q: Any, stands_Q: Any) -> dict[str, float]:
    difference_Q1 = (values_Q - stands_Q)[:, None]
    mean, low, high = intervals(difference_Q1, resamples=_RESAMPLES, confidence=0.95, seed=0)
    figures = {"value": values_Q.mean(), "difference": mean[0], "low": low[0], "high": high[0]}
    return {name: round(float(value), 6) for name, value in figures.items()}


def _gain(run: Sequence[Job]) -> dict[str, float]:
    """The mean over the seeds, whose queries are others: their errors add up as those of independent means do.
    Nothing where the recipe has no ranker."""
    result = [json.loads((job.folder / "result.json").read_text())["details"].get("train_ranking", {}) for job in run]
    metrics = [one.get("metrics", {}) for one in result]
    if _GAIN not in metrics[0]:
        return {}
    gain, low, high = (np.array([one[name] for one in metrics]) for name in (_GAIN, f"{_GAIN}_low", f"{_GAIN}_high"))
    below, above = (float(np.sqrt(np.square(gain - end).sum()) / len(run)) for end in (low, high))
    mean = float(gain.mean())
    return {"gain": round(mean, 6), "gain_low": round(mean - below, 6), "gain_high": round(mean + above, 6)}
