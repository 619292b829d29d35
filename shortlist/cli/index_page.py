"""The HTML page of `shortlist index-compare`: recall against speed and against memory, and all measurements."""

from collections.abc import Callable, Sequence
from html import escape
from importlib.resources import files
from itertools import groupby

from shortlist.report.charts import Axes, Series, lines
from shortlist.report.pieces import card, code, section, table
from shortlist.report.scales import plain
from shortlist.retrieval.index_compare import Measured, Target, recipe_line

_COLORS = {"Flat": "c-path", "IVF": "c-retrieval", "HNSW": "c-popularity"}
_CODES = "c-live"


def page(title: str, found: Sequence[Measured], target: Target, chosen: Measured | None) -> str:
    """One file without scripts and without external resources; `chosen` is None if no index meets the target."""
    if chosen is None:
        lead = f"No index meets the target of recall@100 {target.min_recall:g}."
    else:
        lead = f"The smallest index that meets the target: {recipe_line(chosen, target.min_recall)}"
    speed = Axes(x="queries a second on one thread", y="recall@100 against exact search", log_x=True)
    memory = Axes(x="MB of the index file", y="recall@100 against exact search", log_x=True)
    charts = card("Recall against speed", _chart(found, chosen, speed, lambda one: one.queries_per_second))
    charts += card("Recall against memory", _chart(found, chosen, memory, lambda one: one.mb))
    style = files("shortlist.report").joinpath("page.css").read_text(encoding="utf-8")
    inner = f'<div class="grid">{charts}</div>{card("All measurements", _table(found))}'
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body><main>"
        f"<header><h1>{escape(title)}</h1></header>{section('Comparison', lead, inner)}</main></body></html>\n"
    )


def _chart(found: Sequence[Measured], chosen: Measured | None, axes: Axes, x: Callable[[Measured], float]) -> str:
    """A line of dots for each kind, named in their tooltips, and the chosen one."""
    series = []
    for family, group in groupby(found, key=lambda one: one.family):
        points = list(group)
        series.append(
            Series(family, _color(family), [(x(one), one.recall_at_100) for one in points], [_label(o) for o in points])
        )
    if chosen is not None:
        series.append(Series("chosen", "c-knn big", [(x(chosen), chosen.recall_at_100)], [_label(chosen)]))
    return f'<div class="tall">{lines(series, axes)}</div>'


def _color(family: str) -> str:
    return next((color for start, color in _COLORS.items() if family.startswith(start)), _CODES)


def _label(one: Measured) -> str:
    return (
        f"{one.setting or one.factory}: recall@100 {one.recall_at_100:.4f}, "
        f"{plain(one.queries_per_second)} queries a second, {plain(one.mb)} MB"
    )


def _table(found: Sequence[Measured]) -> str:
    titles = "Index", "Setting", "Recall@10", "Recall@100", "Queries a second", "In a batch", "MB", "Build (s)"
    rows = [
        [
            code(one.factory),
            escape(one.setting),
            f"{one.recall_at_10:.4f}",
            f"{one.recall_at_100:.4f}",
            plain(one.queries_per_second),
            plain(one.batch_queries_per_second),
            f"{one.mb:.2f}",
            f"{one.build_seconds:.1f}",
        ]
        for one in found
    ]
    return table(titles, rows, range(2, len(titles)))
