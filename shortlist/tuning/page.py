"""The comparison of the trials of a study: one HTML page and trials.json."""

import dataclasses
import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from shortlist.recipe import Space, Tune
from shortlist.report.charts import Axes, Series, lines
from shortlist.report.pieces import card, section, table
from shortlist.report.scales import Scale, plain, scale_of
from shortlist.report.systems import metric_name
from shortlist.storage.base import write_whole
from shortlist.tuning.trials import Trial

_SHOWN = 40
"""At most so many curves; more would hide each other."""


def write_comparison(study: Path, name: str, tune: Tune, trials: Sequence[Trial]) -> None:
    """Write report.html and trials.json; `trials` has the best first. Raises StorageError for a full disk."""
    listed = [dataclasses.asdict(one) | {"best": one.best} for one in trials]
    write_whole(study / "trials.json", json.dumps(listed, indent=1) + "\n")
    write_whole(study / "report.html", comparison(f"{name}: {len(trials)} trials", tune, trials))


def comparison(title: str, tune: Tune, trials: Sequence[Trial]) -> str:
    """One file without scripts and without external resources."""
    measured = [one for one in trials if one.best is not None]
    metric = metric_name(tune.metric)
    lead = f"{metric} on the validation window, by trial. The best trial is highlighted; the test window was not read."
    inner = ""
    if measured:
        curves = _curves(measured, metric)
        inner += card("Curves", f'<div class="tall">{curves}</div>', f"{min(len(measured), _SHOWN)} trials")
        inner += card("Parallel coordinates", parallel(measured, tune), "a line for each trial")
    inner += card("All trials", _table(trials, tune, metric))
    style = files("shortlist.report").joinpath("page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body><main>"
        f"<header><h1>{escape(title)}</h1></header>{section('Comparison', lead, inner)}</main></body></html>\n"
    )


def _curves(trials: Sequence[Trial], metric: str) -> str:
    """The others first, so that the best one is drawn over them."""
    shown = list(reversed(trials[:_SHOWN]))
    series = [
        Series("" if one is not trials[0] else one.name, _color(one, trials), [(float(e), v) for e, v in one.curve])
        for one in shown
    ]
    named = [
        dataclasses.replace(one, labels=[f"{trial.name}: {value:.4f}" for _, value in trial.curve])
        for one, trial in zip(series, shown, strict=True)
    ]
    chart = lines(named, Axes(x="epoch", y=f"validation {metric}", whole_x=True))
    return chart.partition("</div>")[2] if chart.startswith('<div class="legend">') else chart


@dataclasses.dataclass(frozen=True)
class _Axis:
    name: str
    at: list[float]
    """The position of each trial, in percent of the axis."""
    ticks: list[tuple[float, str]]


def parallel(trials: Sequence[Trial], tune: Tune) -> str:
    """An axis for each field and one for the metric, and a line through the values of each trial."""
    axes = [_axis(path, [one.values[path] for one in trials], space) for path, space in tune.fields.items()]
    best = [one.best or 0.0 for one in trials]
    scale = scale_of(best)
    ticks = [(scale.at(value), plain(value)) for value in scale.ticks(4)]
    axes.append(_Axis(metric_name(tune.metric), [scale.at(value) for value in best], ticks))
    across = [100 * (i + 0.5) / len(axes) for i in range(len(axes))]
    drawn = "".join(f'<path class="grid" d="M{x:.2f} 0V100"/>' for x in across)
    for at in reversed(range(len(trials))):
        points = " ".join(f"{'L' if i else 'M'}{x:.2f} {100 - axes[i].at[at]:.2f}" for i, x in enumerate(across))
        one = trials[at]
        said = ", ".join(f"{path} {value}" for path, value in one.values.items())
        title = f"<title>{escape(f'{one.name}: {said}; {tune.metric} {one.best:.4f}')}</title>"
        drawn += f'<path class="line {_color(one, trials)}" d="{points}">{title}</path>'
    names = "".join(
        f'<span class="tx" style="left:{x:.2f}%">{escape(axis.name)}</span>'
        for axis, x in zip(axes, across, strict=True)
    )
    labels = "".join(
        f'<span class="ty" style="right:{100 - x:.2f}%;margin-right:8px;bottom:{y:.2f}%">{escape(text)}</span>'
        for axis, x in zip(axes, across, strict=True)
        for y, text in axis.ticks
    )
    return (
        '<div class="tall" style="margin-bottom:26px"><div class="chart"><div class="plot">'
        '<svg viewBox="0 0 100 100" preserveAspectRatio="none" '
        f'role="img" aria-label="parallel coordinates">{drawn}</svg>{labels}{names}</div></div></div>'
    )


def _axis(path: str, values: Sequence[Any], space: Space) -> _Axis:
    if space.choice is not None:
        places = {json.dumps(value): 100 * (i + 0.5) / len(space.choice) for i, value in enumerate(space.choice)}
        ticks = [(places[json.dumps(value)], str(value)) for value in space.choice]
        return _Axis(path, [places[json.dumps(value)] for value in values], ticks)
    low, high = space.log_uniform or space.uniform or space.integer or (0, 1)
    scale = Scale(low, high, log=space.log_uniform is not None)
    ticks = [(scale.at(value), f"{value:g}") for value in (low, high)]
    return _Axis(path, [scale.at(value) for value in values], ticks)


def _table(trials: Sequence[Trial], tune: Tune, metric: str) -> str:
    titles = ["Trial", *tune.fields, "Epochs", metric, "State"]
    rows = [
        [
            escape(one.name),
            *(escape(f"{value:.4g}" if isinstance(value, float) else str(value)) for value in one.values.values()),
            str(len(one.curve)),
            "" if one.best is None else f"{one.best:.4f}",
            escape(one.state),
        ]
        for one in trials
    ]
    return table(titles, rows, range(1, len(titles) - 1))


def _color(one: Trial, trials: Sequence[Trial]) -> str:
    return "c-path" if one is trials[0] else "c-popularity"
