"""The page as a whole: one file, nothing loaded from anywhere, no script."""

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import Any

from shortlist.facts import StepRecord
from shortlist.recipe import Recipe
from shortlist.report.cost import cost, provenance
from shortlist.report.data import data
from shortlist.report.models import index, training
from shortlist.report.pieces import tiles
from shortlist.report.quality import headline, metric_name, quality
from shortlist.report.record import RunRecord
from shortlist.report.scales import duration


def page(recipe: Recipe, run: RunRecord, records: Sequence[StepRecord]) -> str:
    """HTML of the report; a section whose details are missing says so in a line."""
    details: dict[str, dict[str, Any]] = {record.step: record.facts.details for record in records}
    metric = recipe.gate.metric
    sections = [
        _header(run, metric),
        quality(run, metric),
        training(run, details),
        index(details),
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
        "The same numbers for machines are in run.json.</footer></main></body></html>\n"
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
            '<div class="verdict refused"><strong>Not published</strong><p>The step publish left no decision.</p></div>'
        )
    kind, said = "", "Published"
    if not one.published:
        kind, said = "refused", "Refused"
    elif one.forced_by:
        kind, said = "forced", f"Published, forced by {one.forced_by}"
    more = [one.reason[:1].upper() + one.reason[1:], *(f"Warning: {text}" for text in one.verdict.warnings)]
    return (
        f'<div class="verdict {kind}"><strong>{escape(said)}: release <span class="mono">{escape(one.release)}</span>'
        f"</strong>{''.join(f'<p>{escape(text)}</p>' for text in more)}</div>"
    )


def _tiles(run: RunRecord, metric: str) -> str:
    shown = []
    if run.evaluation is not None and metric in run.evaluation.systems.get("path", {}):
        one = run.evaluation
        mean = one.systems["path"][metric].mean
        shown.append((metric_name(metric), f"{mean:.4f}"))
        for system, label in (("popularity", "beside popularity"), ("item_knn", "beside item-kNN")):
            base = one.systems.get(system, {}).get(metric)
            if base is not None and base.mean > 0:
                shown.append((label, f"{mean / base.mean:.2f}&times;"))
    shown.append(("time of all steps", duration(run.seconds)))
    return tiles(shown)
