"""The HTML page: one file without scripts and without external resources."""

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import Any

from shortlist.recipe import Recipe
from shortlist.report.cost import cost, provenance
from shortlist.report.data import data
from shortlist.report.lists import advice, lists
from shortlist.report.models import index, training
from shortlist.report.neighbours import neighbours
from shortlist.report.objectives import objectives
from shortlist.report.pieces import tiles
from shortlist.report.quality import headline, quality
from shortlist.report.record import RunRecord
from shortlist.report.scales import duration
from shortlist.report.systems import Systems, metric_name
from shortlist.step_result import StepRecord


def page(recipe: Recipe, run: RunRecord, records: Sequence[StepRecord]) -> str:
    """The HTML of the report; a section whose details are missing is replaced by a note."""
    details: dict[str, dict[str, Any]] = {record.step: record.result.details for record in records}
    metric = recipe.gate.metric
    sections = [
        _header(run, metric),
        quality(run, metric),
        objectives(run, metric),
        lists(run, metric),
        training(run, details),
        index(details),
        neighbours(details),
        data(run, details),
        cost(run),
        provenance(run, details),
    ]
    style = files("shortlist.report").joinpath("page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(run.recipe)} {escape(run.run_id)}</title><style>{style}</style></head><body><main>"
        f"{''.join(sections)}<footer>Run {escape(run.run_id)}, written {escape(run.finished_at)} by shortlist. "
        "The same numbers are in run.json.</footer></main></body></html>\n"
    )


def _header(run: RunRecord, metric: str) -> str:
    about = f'<p class="about">{escape(run.description)}</p>' if run.description else ""
    when = f"Run {run.run_id} · {run.finished_at.replace('T', ' ')[:16]} UTC"
    return (
        f'<header><div class="over">{escape(when)}</div><h1>{escape(run.recipe)}</h1>{about}'
        f"{_verdict(run)}{_tiles(run, metric)}{headline(run, metric)}</header>"
    )


def _verdict(run: RunRecord) -> str:
    one = run.decision
    if one is None:
        return (
            '<div class="verdict refused"><strong>Not published</strong><p>The step publish has no decision.</p></div>'
        )
    kind = "refused" if not one.published else "forced" if one.forced_by else one.verdict.outcome
    more = [
        one.reason[:1].upper() + one.reason[1:],
        *(f"Warning: {text}" for text in one.verdict.warnings),
        *(f"Advice: {text}" for text in advice(run.evaluation)),
    ]
    return (
        f'<div class="verdict {kind}"><strong>{escape(one.headline)}</strong>'
        f'<p>Release <span class="mono">{escape(one.release)}</span></p>'
        f"{''.join(f'<p>{escape(text)}</p>' for text in more)}</div>"
    )


def _tiles(run: RunRecord, metric: str) -> str:
    shown = []
    served = run.served
    if served is not None and run.evaluation is not None:
        systems = Systems(run, run.evaluation)
        name = escape(systems.name(served.system))
        shown.append((metric_name(metric), f"{served.value.mean:.4f}<small>{name}</small>"))
        for other, label in _RATIOS.items():
            by = served.differences.get(other)
            base = systems.tables.get(other, {}).get(metric)
            if by is not None and base is not None and base.mean > 0:
                difference = f"{by.mean:+.4f} ({by.low:+.4f} to {by.high:+.4f})"
                shown.append((label, f"{served.value.mean / base.mean:.2f}&times;<small>{difference}</small>"))
    shown.append(("time of all steps", duration(run.seconds)))
    return tiles(shown)


_RATIOS = {"live": "over the live release", "popularity": "over popularity", "item_knn": "over item-kNN"}
