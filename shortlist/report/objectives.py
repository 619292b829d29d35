"""The section on several objectives: the metrics of each label, and what weight on it costs the positives."""

from html import escape

from shortlist.recipe.fields import POSITIVE
from shortlist.report.charts import Axes, Series, Whisker, lines, whiskers
from shortlist.report.pieces import card, folded, note, section, table
from shortlist.report.record import ObjectivePoint, Objectives, RunRecord, Table, TradeOff
from shortlist.report.systems import Systems, color_of, metric_name


def objectives(run: RunRecord, metric: str) -> str:
    """The section on objectives; empty for a recipe without labels."""
    if run.evaluation is None or run.evaluation.objectives is None:
        return ""
    found = run.evaluation.objectives
    lead = (
        f"The recipe orders lists by {_weights(found.weights)}. The metrics of a label are means over the queries that "
        "have a target of it."
    )
    parts = [_by_label(Systems(run, run.evaluation), found, metric)]
    parts += [_tradeoff(label, one, metric) for label, one in found.tradeoffs.items()]
    return section("Objectives", lead, "".join(parts))


def _by_label(systems: Systems, found: Objectives, metric: str) -> str:
    groups = []
    for label, one in found.labels.items():
        tables = systems.ordered(one.systems)
        rows = [_whisker(name, systems.name(name), tables[name], metric) for name in tables if metric in tables[name]]
        if rows:
            groups.append((f"{label}: {one.targets:,} targets of {one.queries:,} queries", rows))
    empty = [label for label, one in found.labels.items() if not one.queries]
    inner = whiskers(groups, zero=True) if groups else ""
    return card(
        f"{metric_name(metric)} by label", inner + (note(f"No query has: {', '.join(empty)}.") if empty else "")
    )


def _whisker(system: str, name: str, values: Table, metric: str) -> Whisker:
    return Whisker(name, color_of(system), values[metric].mean, values[metric].low, values[metric].high)


def _tradeoff(label: str, one: TradeOff, metric: str) -> str:
    """The curve, and the numbers of its points in a folded table."""
    if not all(name in point.metrics for point in one.points for name in (POSITIVE, label)):
        return card(f"Trade-off with {label}", note("The sampled queries have no target of one of the two."))
    name = metric_name(metric)
    curve = Series("weight moves to the label", color_of("path"), *_placed(one.points, label, metric))
    own = Series("the recipe", color_of("item_knn"), *_placed([one.recipe], label, metric), big=True)
    axes = Axes(x=f"{name} of the positives", y=f"{name} of {label}")
    changes = ", ".join(
        f"{name} of {who} by {by[metric].mean:+.4f} ({by[metric].low:+.4f} to {by[metric].high:+.4f})"
        for who, by in ((POSITIVE, one.difference[POSITIVE]), (label, one.difference[label]))
    )
    text = (
        f"{one.queries[POSITIVE]:,} test queries, of which {one.queries[label]:,} have a target that is {label}. All "
        f"weight on {label} instead of on the positives changes {changes}."
    )
    return card(f"Trade-off with {label}", lines([curve, own], axes) + note(text)) + folded(
        f"The points of the trade-off with {label}", _table([*one.points, one.recipe], label, metric)
    )


def _placed(points: list[ObjectivePoint], label: str, metric: str) -> tuple[list[tuple[float, float]], list[str]]:
    at = [(one.metrics[POSITIVE][metric].mean, one.metrics[label][metric].mean) for one in points]
    names = [f"{_weights(one.weights)}: {x:.4f}, {y:.4f}" for one, (x, y) in zip(points, at, strict=True)]
    return at, names


def _table(points: list[ObjectivePoint], label: str, metric: str) -> str:
    depth = metric.rpartition("_at_")[2]
    shown = [(who, of) for who in (POSITIVE, label) for of in dict.fromkeys((metric, f"recall_at_{depth}"))]
    rows = [[escape(_weights(one.weights)), *(_cell(one.metrics[who], of) for who, of in shown)] for one in points]
    titles = ["weights", *(f"{metric_name(of)} of {who}" for who, of in shown)]
    return table(titles, rows, range(1, len(titles)), [len(rows) - 1])


def _cell(values: Table, metric: str) -> str:
    one = values[metric]
    return f"{one.mean:.4f}<small>{one.low:.4f} to {one.high:.4f}</small>"


def _weights(weights: dict[str, float]) -> str:
    ordered = sorted(weights, key=lambda name: name != POSITIVE)
    return ", ".join(f"{name} {weights[name]:.4g}" for name in ordered)
