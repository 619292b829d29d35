"""One panel a data set: every model's mean of the metric that configurations are picked by, with its deviation."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.quality.protocol import all_data, load_protocol

mpl.rcParams["svg.hashsalt"] = "quality"  # the same figures give the same bytes
_OURS, _PEER, _PUBLISHED = "#c2410c", "#334155", "#94a3b8"


def plot(rows: list[dict[str, Any]], to: Path) -> None:
    """Ours in colour, peers on the same rows dark, published figures as hollow marks."""
    data = [name for name in all_data() if any(row["data"] == name for row in rows)]
    if not data:
        return
    heights = [_height(name, rows) for name in data]
    figure = Figure(figsize=(7.5, 0.6 + sum(heights)), layout="constrained")
    axes = figure.subplots(len(data), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, name in zip(axes, data, strict=True):
        protocol = load_protocol(name)
        metric = protocol.pick_by
        marks = [
            (row["mean"], row["deviation"], row["model"], _OURS if row["model"].startswith("shortlist") else _PEER)
            for row in rows
            if row["data"] == name and row["metric"] == metric
        ]
        marks += [
            (one.metrics[metric], 0.0, f"{one.model}, published", _PUBLISHED)
            for one in protocol.published
            if metric in one.metrics
        ]
        marks.sort(key=lambda mark: mark[0])
        for place, (mean, deviation, _, colour) in enumerate(marks):
            fill = "white" if colour == _PUBLISHED else colour
            axis.errorbar(mean, place, xerr=deviation, fmt="o", color=colour, markerfacecolor=fill, capsize=2)
        axis.set_yticks(range(len(marks)), [name for _, _, name, _ in marks], fontsize=8)
        axis.set_title(f"{protocol.title}: {metric}", fontsize=9, loc="left")
        axis.grid(axis="x", alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(to, metadata={"Date": None})


def _height(name: str, rows: list[dict[str, Any]]) -> float:
    models = {row["model"] for row in rows if row["data"] == name}
    return 0.6 + 0.2 * (len(models) + len(load_protocol(name).published))
