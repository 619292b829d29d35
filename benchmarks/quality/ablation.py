"""What each part of our recipe brings: it is left out or exchanged, one at a time, and judged on validation.

recipes/bench/ablation.yaml says what is changed; docs/figures/ablation.json holds a row a change, the recipe as it
stands first. Retrieval is compared question by question with the recipe as it stands; what the ranker adds is the
difference on the validation questions that it holds out, as its facts tell it.
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
from shortlist.evaluation.bootstrap import intervals

CHANGES = RECIPES / "ablation.yaml"
_RESAMPLES = 2_000
_GAIN = "heldout_difference"


class Change(BaseModel):
    """One thing that is otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    told: str
    settings: dict[str, Any] = Field(alias="set")


def changes_of(data: str, path: Path = CHANGES) -> list[Change]:
    """Raises ValueError when the file is not what it should be or says nothing of this data set."""
    found = all_changes(path)
    if data not in found:
        raise ValueError(f"{path}: says nothing of {data}; it has {', '.join(found)}")
    return found[data]


def all_changes(path: Path = CHANGES) -> dict[str, list[Change]]:
    """Of every data set that the file names. Raises ValueError when the file is not what it should be."""
    return TypeAdapter(dict[str, list[Change]]).validate_python(yaml.safe_load(path.read_text(encoding="utf-8")))


def ablation_jobs(data: str) -> list[Job]:
    """The recipe as it stands, and with each change, by the first seed."""
    seed = load_protocol(data).seeds[0]
    settings: list[dict[str, Any]] = [{}, *(change.settings for change in changes_of(data))]
    return [Job(data, OURS, seed, "valid", one) for one in settings]


def ablation_rows(data: str) -> list[dict[str, Any]]:
    """A row a job. Raises ValueError while one of them is missing."""
    jobs, metric = ablation_jobs(data), load_protocol(data).pick_by
    check_done(jobs)
    told = ["as it stands", *(change.told for change in changes_of(data))]
    stands_Q = _values(jobs[0], metric)
    return [
        {
            "data": data,
            "change": name,
            "settings": job.settings,
            "metric": metric,
            "seed": job.seed,
            "command": f"python -m benchmarks.quality ablate {data}",
            **_against(_values(job, metric), stands_Q),
            **_gain(job),
        }
        for name, job in zip(told, jobs, strict=True)
    ]


def ablation_table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Markdown lines of the rows of one data set."""
    lines = [
        f"What each part brings, {rows[0]['metric']} on validation, seed {rows[0]['seed']}:",
        "",
        "| change | retrieval | against the recipe as it stands | what the ranker adds, NDCG@10 |",
        "| --- | --- | --- | --- |",
    ]
    for row in rows:
        against = interval(row["difference"], row["low"], row["high"]) if row["settings"] else ""
        gain = interval(row["gain"], row["gain_low"], row["gain_high"]) if "gain" in row else "no ranker"
        lines.append(f"| {row['change']} | {row['value']:.4f} | {against} | {gain} |")
    return lines


def interval(mean: float, low: float, high: float) -> str:
    """A difference as the document tells it."""
    return f"{mean:+.4f} ({low:+.4f} to {high:+.4f})"


def _values(job: Job, metric: str) -> Any:
    arrays = np.load(job.folder / "values.npz")
    return arrays[next(name for name in arrays.files if name.endswith(f"/{metric}"))].astype(np.float64)


def _against(values_Q: Any, stands_Q: Any) -> dict[str, float]:
    difference_Q1 = (values_Q - stands_Q)[:, None]
    mean, low, high = intervals(difference_Q1, resamples=_RESAMPLES, confidence=0.95, seed=0)
    figures = {"value": values_Q.mean(), "difference": mean[0], "low": low[0], "high": high[0]}
    return {name: round(float(value), 6) for name, value in figures.items()}


def _gain(job: Job) -> dict[str, float]:
    """Nothing where the recipe has no ranker."""
    facts = json.loads((job.folder / "result.json").read_text())["details"].get("train_ranking", {})
    metrics = facts.get("metrics", {})
    if _GAIN not in metrics:
        return {}
    names = {"gain": _GAIN, "gain_low": f"{_GAIN}_low", "gain_high": f"{_GAIN}_high"}
    return {name: round(float(metrics[fact]), 6) for name, fact in names.items()}
