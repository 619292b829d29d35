"""docs/quality.md's tables, rendered from docs/figures; what stands between the marks is never written by hand."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.quality.ablation import ablation_table, interval
from benchmarks.quality.protocol import ROOT, Protocol, all_data, load_protocol

DOCUMENT = ROOT / "docs/quality.md"
_BEGIN, _END = "<!-- tables: rendered by `python -m benchmarks.quality report` -->", "<!-- end of tables -->"

Row = dict[str, Any]


def render(figures: Path, document: Path = DOCUMENT) -> None:
    """Put the tables of `figures` between the marks of the document."""
    before, _, rest = document.read_text(encoding="utf-8").partition(_BEGIN)
    _, _, after = rest.partition(_END)
    document.write_text(f"{before}{_BEGIN}\n\n{tables(figures)}\n{_END}{after}", encoding="utf-8")


def tables(figures: Path) -> str:
    """One section a data set that has rows."""
    rows, compared, changed = (
        json.loads((figures / f"{name}.json").read_text()) for name in ("quality", "intervals", "ablation")
    )
    names = {row["data"] for row in rows}
    sections = [
        _section(
            load_protocol(data),
            [row for row in rows if row["data"] == data],
            [row for row in compared if row["data"] == data],
            [row for row in changed if row["data"] == data],
        )
        for data in all_data()
        if data in names
    ]
    return "\n".join(sections)


def _section(protocol: Protocol, rows: list[Row], compared: list[Row], changed: list[Row]) -> str:
    metrics = protocol.metrics
    models = {row["model"] for row in rows}
    first = metrics[0]
    means = {(row["model"], row["metric"]): row for row in rows}
    ordered = sorted(models, key=lambda model: (not model.startswith("shortlist"), -means[model, first]["mean"]))
    lines = [f"### {protocol.title}", "", _line(["model", *metrics, "seeds"]), _line(["---"] * (len(metrics) + 2))]
    for model in ordered:
        shown = [_figure(means[model, metric]) if (model, metric) in means else "" for metric in metrics]
        name = f"**{model}**" if model.startswith("shortlist") else model
        lines.append(_line([name, *shown, str(len(means[model, first]["seeds"]))]))
    for one in protocol.published:
        quoted = [_short(one.metrics[metric]) if metric in one.metrics else "" for metric in metrics]
        other = "" if one.same_rows else ", other rows"
        lines.append(_line([f"*{one.model}* ({one.reference}, published{other})", *quoted, ""]))
    lines += ["", *(_compared(row) for row in compared)]
    if changed:
        lines += ["", *ablation_table(changed)]
    return "\n".join([*lines, ""])


def _compared(row: Row) -> str:
    difference = interval(row["difference"], row["low"], row["high"])
    return f"- {row['model']} minus {row['against']}, {row['metric']}: {difference}"


def _figure(row: Row) -> str:
    deviation = f" ± {_short(row['deviation'])}" if len(row["seeds"]) > 1 else ""
    return _short(row["mean"]) + deviation


def _short(value: float) -> str:
    return f"{value:.4f}".removeprefix("0")


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
