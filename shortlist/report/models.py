"""The sections on the training of the models, and on the recall and speed of the index."""

import math
from html import escape
from typing import Any

from shortlist.report.charts import Axes, Series, lines
from shortlist.report.pieces import card, code, definitions, note, section, table
from shortlist.report.record import RunRecord
from shortlist.report.scales import duration, plain
from shortlist.report.systems import metric_name

_RATES = {"learning_rate", "seconds", "epoch", "loss"}


def training(run: RunRecord, details: dict[str, dict[str, Any]]) -> str:
    """The loss and validation metrics of both models by epoch, and the calibration of the ranker's scores."""
    cards = [
        _curves(run, details, "train_retrieval", "Retrieval", "c-retrieval"),
        _curves(run, details, "train_ranking", "Ranking", "c-path"),
        _calibration(run, details.get("train_ranking", {})),
    ]
    return section("Training", "The dashed line marks the best epoch, whose weights are served.", "".join(cards))


def _curves(run: RunRecord, details: dict[str, dict[str, Any]], step: str, title: str, color: str) -> str:
    found = details.get(step, {})
    curves = found.get("curves") or {}
    epochs = curves.get("epoch") or list(range(1, len(curves.get("loss") or []) + 1))
    if not epochs:
        why = "the recipe disables it" if found.get("enabled") is False else f"the step {step} has no curves"
        return card(title, note(f"Left out: {why}."))
    metrics = _metrics(run, step)
    best = metrics.get("best_epoch")
    plots = []
    for names, y in ((["loss"], "training loss"), (_validation(curves), "validation")):
        series = [
            Series(metric_name(name) if y == "validation" else "", one, _points(epochs, curves.get(name) or []))
            for name, one in zip(names, (color, "c-knn", "c-popularity"), strict=False)
        ]
        series = [one for one in series if one.points]
        if series:
            label = f"validation {series[0].name}" if y == "validation" and len(series) == 1 else y
            plots.append(lines(series, Axes(x="epoch", y=label, whole_x=True), mark=best))
    facts = [f"{len(epochs)} epochs"]
    if found.get("stopped_early"):
        facts.append("stopped early")
    if metrics.get("examples_per_second"):
        facts.append(f"{plain(metrics['examples_per_second'] or 0)} examples a second")
    if found.get("parameters"):
        facts.append(f"{plain(found['parameters'])} parameters")
    if curves.get("seconds"):
        facts.append(f"{duration(sum(curves['seconds']))} of training")
    inner = "".join(f"<div>{plot}</div>" for plot in plots)
    return card(title, f'<div class="grid">{inner}</div>', ", ".join(facts))


def _calibration(run: RunRecord, found: dict[str, Any]) -> str:
    """The gain of the ranker over retrieval on held-out queries, and a reliability diagram of its probabilities."""
    metrics = _metrics(run, "train_ranking")
    listed = [("Served", escape(found["kept"]))] if found.get("kept") else []
    for name, value in metrics.items():
        if value is not None and name.startswith("heldout_ndcg"):
            metric, _, order = name.removeprefix("heldout_").rpartition("_")
            listed.append((f"{metric_name(metric)}, {order}", f"{value:.4f}"))
    low, high, mean = (metrics.get(f"heldout_difference{end}") for end in ("_low", "_high", ""))
    if mean is not None and low is not None and high is not None:
        listed.append(("Difference", f"{mean:+.4f} <small>{low:+.4f} to {high:+.4f}</small>"))
    before, after = (metrics.get(f"calibration_error_{when}") for when in ("before", "after"))
    if before is not None and after is not None:
        listed.append(("Calibration error", f"{after:.4f} <small>{before:.4f} before calibration</small>"))
    cards = [card("Gain of ranking over retrieval", definitions(listed), "held-out queries")] if listed else []
    bins = [(float(row[0]), float(row[1])) for row in found.get("reliability") or []]
    if bins:
        end = max(max(bin_) for bin_ in bins)
        series = [
            Series("ranker", "c-path", bins),
            Series("perfect", "c-popularity", [(0.0, 0.0), (end, end)]),
        ]
        axes = Axes(x="predicted probability", y="share of positives", zero_y=True)
        cards.insert(0, card("Calibration of the ranker's scores", lines(series, axes), "held-out candidates"))
    return f'<div class="grid">{"".join(cards)}</div>' if cards else ""


def _metrics(run: RunRecord, step: str) -> dict[str, float | None]:
    return next((one.metrics for one in run.steps if one.step == step), {})


def _validation(curves: dict[str, Any]) -> list[str]:
    """The validation curves that are drawn together: NDCG if there is one, at most three."""
    names = [name for name in curves if name not in _RATES]
    preferred = [name for name in names if name.startswith("ndcg")] or names
    return preferred[:3]


def _points(epochs: list[float], values: list[float | None]) -> list[tuple[float, float]]:
    pairs = zip(epochs, values, strict=False)
    return [(float(x), float(y)) for x, y in pairs if y is not None and math.isfinite(y)]


def index(details: dict[str, dict[str, Any]]) -> str:
    """The recall of the index against its speed."""
    found = details.get("build_index", {})
    points = found.get("curve") or []
    if not points:
        return section("Index", "", note("Left out: the step build_index has no curve of recall and speed."))
    chosen = next((point for point in points if point["nprobe"] == found.get("nprobe")), points[-1])
    served = definitions(
        [
            ("Index", f"{code(found.get('factory', ''))} over {plain(found.get('num_items', 0))} items"),
            ("Recall@100", f"{chosen['recall_at_100']:.4f}"),
            ("Recall@10", f"{chosen['recall_at_10']:.4f}"),
            ("Queries per second", plain(chosen["queries_per_second"])),
            ("Measured with", f"{plain(found.get('num_queries', 0))} {_query_origin(found.get('queries_from'))}"),
        ]
    )
    compared = _compared(found)
    if len(points) == 1:
        lead = "An index without inverted lists has one speed and one recall, so that there is no curve."
        return section("Index", lead, f'<div class="card">{served}</div>{compared}')
    series = [
        Series(
            "by nprobe, the number of lists searched",
            "c-retrieval",
            [(point["queries_per_second"], point["recall_at_100"]) for point in points],
            [
                f"nprobe {point['nprobe']}: recall@100 {point['recall_at_100']:.4f}, "
                f"{plain(point['queries_per_second'])} queries a second"
                for point in points
            ],
        ),
        Series(
            f"served: nprobe {chosen['nprobe']}",
            "c-knn big",
            [(chosen["queries_per_second"], chosen["recall_at_100"])],
        ),
    ]
    axes = Axes(x="queries a second on one thread", y="recall@100 against exact search", log_x=True)
    rows = [
        [str(one["nprobe"]), *(f"{one[f'recall_at_{k}']:.4f}" for k in (10, 100)), plain(one["queries_per_second"])]
        for one in points
    ]
    all_points = table(("nprobe", "Recall@10", "Recall@100", "Queries a second"), rows, [1, 2, 3])
    chart = card("Recall against speed", f'<div class="tall">{lines(series, axes)}</div>')
    inner = f"{chart}{card('Served index', served + all_points)}"
    grid = f'<div class="grid">{inner}</div>'
    return section("Index", "Higher and further to the right is better.", f"{grid}{compared}")


def _compared(found: dict[str, Any]) -> str:
    """The kinds of indexes that `index.factory: cheapest` measured, the last of which was chosen."""
    rows = [
        [
            code(one["factory"]),
            " ".join(f"{name} {one[name]}" for name in ("nprobe", "ef_search", "refine") if one[name]),
            *(f"{one[f'recall_at_{k}']:.4f}" for k in (10, 100)),
            plain(one["queries_per_second"]),
            f"{one['mb']:.1f}",
        ]
        for one in found.get("compared", ())
    ]
    if not rows:
        return ""
    columns = ("Index", "Setting", "Recall@10", "Recall@100", "Queries a second", "MiB")
    lead = note("The smallest kind that meets the target of the recipe is served; larger ones were not built.")
    return card("Kinds compared", lead + table(columns, rows, [2, 3, 4, 5]))


def _query_origin(origin: Any) -> str:
    return "validation queries" if origin == "validation" else "item vectors, as there was no validation query"
