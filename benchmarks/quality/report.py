"""What the results say: the rows of docs/figures, the table in docs/quality.md, and the plot."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.ablation import ablation_rows
from benchmarks.quality.jobs import OURS, Job, seeds_of, work_folder
from benchmarks.quality.picks import NotPickedError, models_of, picked_job
from benchmarks.quality.protocol import ROOT, load_protocol
from benchmarks.quality.table import render
from shortlist.metrics.bootstrap import intervals
from shortlist.progress import say

FIGURES = ROOT / "docs/figures"
_RESAMPLES = 2_000


@dataclass(frozen=True)
class System:
    """One system's test values: each query's mean over the seeds, and the mean of each seed."""

    name: str
    seeds: list[int]
    values: dict[str, NDArray[np.float64]]
    """Metric -> [Q]"""
    means: dict[str, list[float]]
    """Metric -> one mean a seed"""
    commit: str


def report(data: Sequence[str], figures: Path = FIGURES) -> None:
    """Write quality, intervals and ablation anew for `data`; the rows of other sets stay. Then table and plot."""
    from benchmarks.quality.plot import plot  # noqa: PLC0415 -- matplotlib is slow to import

    rows, compared = read(figures / "quality.json"), read(figures / "intervals.json")
    changed = read(figures / "ablation.json")
    for name in data:
        try:
            changed = [row for row in changed if row["data"] != name] + ablation_rows(name)
        except ValueError as error:
            say(f"{name}: the ablation stays as it is: {error}")
        systems = tested(name)
        if not systems:
            say(f"{name}: no test result of a picked configuration; its rows stay as they are")
            continue
        told = {system.name for system in systems}
        rows = [row for row in rows if row["data"] != name or row["model"] not in told]
        rows += [row for system in systems for row in _rows(name, system)]
        # Where only peers were tested, ours keep the intervals that they have.
        compared = [row for row in compared if row["data"] != name or row["model"] not in told]
        compared += compare(name, systems)
    figures.mkdir(parents=True, exist_ok=True)
    for file, content in (("quality.json", rows), ("intervals.json", compared)):
        _write(figures / file, sorted(content, key=lambda row: (row["data"], row["metric"], row["model"])))
    _write(figures / "ablation.json", changed)
    render(figures)
    plot(rows, figures / "quality.svg")


def tested(data: str) -> list[System]:
    """Every system that has a result for each seed of a picked configuration."""
    systems = []
    for model in models_of(data):
        try:
            jobs = [picked_job(data, model, seed) for seed in seeds_of(load_protocol(data), model)]
        except NotPickedError:
            continue
        if all(job.done for job in jobs):
            systems += _systems(jobs)
    return systems


def _systems(jobs: list[Job]) -> list[System]:
    arrays = [dict(np.load(job.folder / "values.npz")) for job in jobs]
    result: dict[str, Any] = json.loads((jobs[0].folder / "result.json").read_text())
    metrics: dict[str, list[str]] = defaultdict(list)
    for name in arrays[0]:
        system, _, metric = name.partition("/")
        metrics[system].append(metric)
    return [
        System(
            system,
            [job.seed for job in jobs],
            {m: np.mean([one[f"{system}/{m}"] for one in arrays], axis=0, dtype=np.float64) for m in names},
            {m: [float(one[f"{system}/{m}"].mean(dtype=np.float64)) for one in arrays] for m in names},
            result["commit"],
        )
        for system, names in metrics.items()
    ]


def _rows(data: str, system: System) -> list[dict[str, Any]]:
    protocol = load_protocol(data)
    return [
        {
            "data": data,
            "protocol": protocol.title,
            "model": system.name,
            "metric": metric,
            "mean": round(float(np.mean(means)), 6),
            "deviation": round(float(np.std(means, ddof=1)), 6) if len(means) > 1 else 0.0,
            "seeds": system.seeds,
            "command": f"make bench-quality DATA={data}",
            "commit": system.commit,
        }
        for metric, means in system.means.items()
    ]


def compare(data: str, systems: Sequence[System]) -> list[dict[str, Any]]:
    """Ours minus the best peer, and the whole path minus retrieval alone, with paired bootstrap intervals."""
    ours = [system for system in systems if system.name.startswith(OURS)]
    peers = [system for system in systems if not system.name.startswith(OURS)]
    found = []
    for metric in load_protocol(data).metrics:
        best = max(peers, key=lambda one: one.values[metric].mean(), default=None)
        pairs = [(one, best) for one in ours if best is not None]
        pairs += [(ours[1], ours[0])] if len(ours) == 2 else []
        for one, other in pairs:
            assert other is not None
            difference_Q1 = (one.values[metric] - other.values[metric])[:, None]
            mean, low, high = intervals(difference_Q1, resamples=_RESAMPLES, confidence=0.95, seed=0)
            found.append(
                {
                    "data": data,
                    "metric": metric,
                    "model": one.name,
                    "against": other.name,
                    "difference": round(float(mean[0]), 6),
                    "low": round(float(low[0]), 6),
                    "high": round(float(high[0]), 6),
                }
            )
    return found


def read(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    return rows


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    lines = ",\n".join(json.dumps(row) for row in rows)
    path.write_text(f"[\n{lines}\n]\n")


def show(data: Sequence[str]) -> None:
    """All validation results that there are, best first, and the test results of what was picked."""
    for name in data:
        metric = load_protocol(name).pick_by
        results = [json.loads(path.read_text()) for path in (work_folder() / "results" / name).glob("*/result.json")]
        lines = [
            (figures[metric], f"{system:20} {_told(figures)} {result['job']['settings'] or ''}")
            for result in results
            if result["job"]["part"] == "valid"
            for system, figures in result["means"].items()
        ]
        say(f"\n{name}, validation")
        for _, line in sorted(lines, reverse=True):
            say(f"  {line}")
        say(f"{name}, test")
        for system in tested(name):
            say(f"  {system.name:20} {_told({m: float(np.mean(v)) for m, v in system.means.items()})}")


def _told(means: dict[str, float]) -> str:
    return ", ".join(f"{metric} {value:.4f}" for metric, value in means.items())
