"""How good the lists are: beside the baselines, by depth, by slice."""

from shortlist.release.manifest import Interval
from shortlist.report.charts import Axes, Series, Whisker, lines, whiskers
from shortlist.report.pieces import card, folded, note, section, table
from shortlist.report.record import Evaluated, RunRecord, Table

SYSTEMS = {
    "path": ("Retrieval + ranking", "c-path"),
    "retrieval": ("Retrieval alone", "c-retrieval"),
    "item_knn": ("Item-kNN", "c-knn"),
    "popularity": ("Popularity", "c-popularity"),
    "live": ("Live release", "c-live"),
}
SLICES = {
    "known_users": "Users seen in training",
    "new_users": "New users",
    "head_items": "Head items (half of all positives)",
    "tail_items": "Tail items",
}
METRICS = {"ndcg": "NDCG", "recall": "Recall", "hit_rate": "Hit rate", "mrr": "MRR", "map": "MAP"}


def metric_name(metric: str) -> str:
    """`ndcg_at_10` as NDCG@10."""
    name, _, depth = metric.rpartition("_at_")
    return f"{METRICS.get(name, name)}@{depth}" if name else metric


def systems_of(evaluation: Evaluated) -> dict[str, Table]:
    """System -> table, in the order of the page; the live release among them when it was compared."""
    tables = dict(evaluation.systems)
    if evaluation.live is not None and evaluation.live.skipped is None:
        tables["live"] = evaluation.live.metrics
    known = [name for name in SYSTEMS if name in tables]
    return {name: tables[name] for name in known + [name for name in tables if name not in SYSTEMS]}


def headline(run: RunRecord, metric: str) -> str:
    """The gate's metric of every system, dot and whisker."""
    if run.evaluation is None:
        return ""
    rows = _rows(systems_of(run.evaluation), metric)
    aside = f"{run.evaluation.questions:,} test questions, {100 * run.evaluation.confidence:g}% intervals"
    return card(metric_name(metric), whiskers([("", rows)], zero=True), aside)


def quality(run: RunRecord, metric: str) -> str:
    """The section of metrics."""
    if run.evaluation is None:
        return section("Quality", "", note("Left out: the step evaluate left no table."))
    one = run.evaluation
    lead = (
        "Every system answers the same test questions over the whole catalogue. Intervals come from resampling the "
        "questions; differences are paired, question by question."
    )
    charts = f'<div class="grid">{_differences(one, metric)}{_by_depth(one, metric)}</div>'
    return section("Quality", lead, f"{charts}{_slices(one, metric)}{_tables(one, metric)}")


def _rows(tables: dict[str, Table], metric: str) -> list[Whisker]:
    return [_whisker(name, values[metric]) for name, values in tables.items() if metric in values]


def _whisker(system: str, value: Interval, label: str | None = None) -> Whisker:
    name, color = SYSTEMS.get(system, (system, "c-live"))
    return Whisker(label or name, color, value.mean, value.low, value.high)


def _differences(one: Evaluated, metric: str) -> str:
    start = "path_minus_"
    tables = {name.removeprefix(start): one.differences[name] for name in one.differences if name.startswith(start)}
    if one.live is not None and one.live.skipped is None:
        tables["live"] = one.live.difference
    tables = {name: tables[name] for name in [*SYSTEMS, *tables] if name in tables}
    recall = f"recall_at_{metric.rpartition('_at_')[2]}"
    groups = []
    for shown in dict.fromkeys((metric, recall)):
        rows = [_whisker(other, values[shown], _than(other)) for other, values in tables.items() if shown in values]
        if rows:
            groups.append((metric_name(shown), rows))
    inner = whiskers(groups, zero=True, signed=True) if groups else note("No difference was told.")
    if one.live is not None and one.live.skipped is not None:
        inner += note(f"The live release was not compared: {one.live.skipped}")
    return card("How much better the whole path is", inner)


def _than(other: str) -> str:
    name = SYSTEMS.get(other, (other.replace("_", " "), ""))[0]
    return f"than {name[0].lower()}{name[1:]}"


def _by_depth(one: Evaluated, metric: str) -> str:
    name = metric.rpartition("_at_")[0]
    series = []
    for system, values in systems_of(one).items():
        points = [(float(k), values[f"{name}_at_{k}"].mean) for k in one.k if f"{name}_at_{k}" in values]
        if len(points) > 1:
            label, color = SYSTEMS.get(system, (system, "c-live"))
            series.append(Series(label, color, points))
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


def _slices(one: Evaluated, metric: str) -> str:
    groups, empty = [], []
    for name, part in one.slices.items():
        title = _slice_name(name)
        ordered = {system: part.systems[system] for system in SYSTEMS if system in part.systems}
        rows = _rows(ordered, metric) if part.questions else []
        if rows:
            groups.append((f"{title}: {part.questions:,} questions", rows))
        else:
            empty.append(title)
    inner = whiskers(groups, zero=True) if groups else ""
    if empty:
        inner += note(f"No question in: {', '.join(empty)}.")
    return card(f"{metric_name(metric)} by slice", inner) if inner else ""


def _slice_name(name: str) -> str:
    return SLICES.get(name, name.replace("_", " "))


def _tables(one: Evaluated, gate_metric: str) -> str:
    """All metrics of all systems, and folded the same of every slice."""
    systems = systems_of(one)
    said = "The best of each row is bold. Coverage is the share of the catalogue that appears in any list."
    parts = [card("All metrics", _table(systems, one, gate_metric, one.coverage) + note(said))]
    for name, part in one.slices.items():
        if part.questions:
            title = f"All metrics, {_slice_name(name)}: {part.questions:,} questions"
            parts.append(folded(title, _table(part.systems, one, gate_metric, {})))
    return "".join(parts)


def _table(systems: dict[str, Table], one: Evaluated, gate_metric: str, coverage: dict[str, dict[str, float]]) -> str:
    ordered = {name: systems[name] for name in [*SYSTEMS, *systems] if name in systems}
    rows: list[list[str]] = []
    groups = []
    for name in sorted(METRICS, key=lambda name: not gate_metric.startswith(f"{name}_at_")):
        groups.append(len(rows))
        for k in one.k:
            found = [values.get(f"{name}_at_{k}") for values in ordered.values()]
            best = max((value.mean for value in found if value is not None), default=0.0)
            if any(found):
                rows.append([f"{METRICS[name]}@{k}", *(_cell(value, best) for value in found)])
    groups.append(len(rows))
    for k in one.k if coverage else ():
        shares = [coverage.get(system, {}).get(str(k)) for system in ordered]
        rows.append([f"Coverage@{k}", *("" if share is None else f"{100 * share:.1f}%" for share in shares)])
    titles = ["", *(SYSTEMS.get(name, (name, ""))[0] for name in ordered)]
    return table(titles, rows, range(1, len(titles)), groups)


def _cell(value: Interval | None, best: float) -> str:
    if value is None:
        return ""
    shown = f"<b>{value.mean:.4f}</b>" if value.mean == best and best > 0 else f"{value.mean:.4f}"
    return f"{shown}<small>{value.low:.4f} to {value.high:.4f}</small>"
