"""The section on metrics: compared with the baselines, by depth and by slice."""

from shortlist.recipe.metrics import METRICS
from shortlist.release.manifest import Interval
from shortlist.report.charts import Axes, Series, Whisker, lines, whiskers
from shortlist.report.pieces import card, folded, note, section, table
from shortlist.report.record import Evaluated, RunRecord, Sampled, Table, differences
from shortlist.report.systems import Systems, color_of, metric_name

SLICES = {
    "known_users": "Users seen in training",
    "new_users": "New users",
    "head_items": "Head items (half of all positives)",
    "tail_items": "Tail items",
}


def headline(run: RunRecord, metric: str) -> str:
    """The gate's metric of every system, with its interval."""
    if run.evaluation is None:
        return ""
    systems = Systems(run, run.evaluation)
    rows = _rows(systems, systems.tables, metric)
    aside = f"{run.evaluation.queries:,} test queries, {100 * run.evaluation.confidence:g}% intervals"
    return card(metric_name(metric), whiskers([("", rows)], zero=True), aside)


def quality(run: RunRecord, metric: str) -> str:
    """The section on metrics."""
    if run.evaluation is None:
        return section("Quality", "", note("Left out: the step evaluate has no table."))
    one, systems = run.evaluation, Systems(run, run.evaluation)
    lead = (
        "Every system ranks the whole catalogue for the same test queries. Intervals are bootstrap intervals over the "
        "queries; differences are paired by query."
    )
    if one.unknowable_targets is not None and one.unknowable_targets.unknowable:
        lead += (
            f" {one.unknowable_targets.share:.1%} of the test positives are items that were not available yet at the "
            "time of the query; no system could recommend them, and they are not targets."
        )
    charts = f'<div class="grid">{_differences(systems, one, metric)}{_by_depth(systems, one, metric)}</div>'
    return section("Quality", lead, f"{charts}{_slices(systems, one, metric)}{_tables(systems, one, metric)}")


def _rows(systems: Systems, tables: dict[str, Table], metric: str) -> list[Whisker]:
    return [_whisker(name, systems.name(name), values[metric]) for name, values in tables.items() if metric in values]


def _whisker(system: str, label: str, value: Interval) -> Whisker:
    return Whisker(label, color_of(system), value.mean, value.low, value.high)


def _differences(systems: Systems, one: Evaluated, metric: str) -> str:
    """The served system compared with all others."""
    found = {other: differences(one, systems.served, other) for other in systems.tables if other != systems.served}
    recall = f"recall_at_{metric.rpartition('_at_')[2]}"
    groups = []
    for shown in dict.fromkeys((metric, recall)):
        rows = [_whisker(other, _than(systems, other), by[shown]) for other, by in found.items() if shown in by]
        if rows:
            groups.append((metric_name(shown), rows))
    inner = whiskers(groups, zero=True, signed=True) if groups else note("There are no differences.")
    if one.live is not None and one.live.skipped is not None:
        inner += note(f"The live release was not compared: {one.live.skipped}")
    served = systems.name(systems.served).removesuffix(" (served)")
    return card("Difference of the served system", inner, f"{served[:1].lower()}{served[1:]}")


def _than(systems: Systems, other: str) -> str:
    name = systems.name(other)
    return f"than {name[0].lower()}{name[1:]}"


def _by_depth(systems: Systems, one: Evaluated, metric: str) -> str:
    name = metric.rpartition("_at_")[0]
    series = []
    for system, values in systems.tables.items():
        points = [(float(k), values[f"{name}_at_{k}"].mean) for k in one.k if f"{name}_at_{k}" in values]
        if len(points) > 1:
            series.append(Series(systems.name(system), color_of(system), points))
    if not series:
        return ""
    axes = Axes(
        x="depth k of the list",
        y=f"{METRICS.get(name, name)}@k",
        log_x=True,
        zero_y=True,
        x_ticks=[float(k) for k in one.k],
    )
    return card("By the depth of the list", lines(series, axes))


def _slices(systems: Systems, one: Evaluated, metric: str) -> str:
    groups, empty = [], []
    for name, part in one.slices.items():
        title = _slice_name(name)
        rows = _rows(systems, systems.ordered(part.systems), metric) if part.queries else []
        if rows:
            groups.append((f"{title}: {part.queries:,} queries", rows))
        else:
            empty.append(title)
    inner = whiskers(groups, zero=True) if groups else ""
    if empty:
        inner += note(f"No query in: {', '.join(empty)}.")
    return card(f"{metric_name(metric)} by slice", inner) if inner else ""


def _slice_name(name: str) -> str:
    return SLICES.get(name, name.replace("_", " "))


def _tables(systems: Systems, one: Evaluated, gate_metric: str) -> str:
    """All metrics of all systems, and folded tables for every slice."""
    text = "The best value of each row is bold. Coverage is the share of the catalogue that appears in any list."
    parts = [card("All metrics", _table(systems, systems.tables, one.k, gate_metric, one.coverage) + note(text))]
    for name, part in one.slices.items():
        if part.queries:
            title = f"All metrics, {_slice_name(name)}: {part.queries:,} queries"
            inner = _table(systems, systems.ordered(part.systems), one.k, gate_metric, {})
            parts.append(folded(title, inner))
    if one.sampled is not None:
        parts.append(_sampled(systems, one.sampled, gate_metric))
    return "".join(parts)


def _sampled(systems: Systems, one: Sampled, gate_metric: str) -> str:
    """The metrics of one target among sampled items."""
    text = (
        f"One target of each of {one.queries:,} queries among {one.negatives:,} random items, as many published "
        "figures are computed. These are far higher than metrics over the whole catalogue and can order systems "
        "differently; compare them only with figures of the same kind."
    )
    inner = _table(systems, systems.ordered(one.systems), one.k, gate_metric, {})
    return card(f"Among {one.negatives:,} sampled negatives", note(text) + inner)


def _table(
    systems: Systems,
    ordered: dict[str, Table],
    depths: list[int],
    gate_metric: str,
    coverage: dict[str, dict[str, float]],
) -> str:
    rows: list[list[str]] = []
    groups = []
    for name in sorted(METRICS, key=lambda name: not gate_metric.startswith(f"{name}_at_")):
        groups.append(len(rows))
        for k in depths:
            found = [values.get(f"{name}_at_{k}") for values in ordered.values()]
            best = max((value.mean for value in found if value is not None), default=0.0)
            if any(found):
                rows.append([f"{METRICS[name]}@{k}", *(_cell(value, best) for value in found)])
    groups.append(len(rows))
    for k in depths if coverage else ():
        shares = [coverage.get(system, {}).get(str(k)) for system in ordered]
        rows.append([f"Coverage@{k}", *("" if share is None else f"{100 * share:.1f}%" for share in shares)])
    titles = ["", *(systems.name(name) for name in ordered)]
    return table(titles, rows, range(1, len(titles)), groups)


def _cell(value: Interval | None, best: float) -> str:
    if value is None:
        return ""
    shown = f"<b>{value.mean:.4f}</b>" if value.mean == best and best > 0 else f"{value.mean:.4f}"
    return f"{shown}<small>{value.low:.4f} to {value.high:.4f}</small>"
