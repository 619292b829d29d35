"""The outcome of a run on the terminal: the decision, the served system and its metrics, warnings and advice."""

from rich.console import Console
from rich.text import Text

from shortlist.report import RunRecord
from shortlist.report.lists import advice
from shortlist.report.systems import Systems, metric_name

_STYLES = {"better": "bold green", "not_worse": "bold cyan", "cannot_tell": "bold yellow"}


def show_outcome(run: RunRecord, console: Console) -> None:
    """Print the summary that is at the top of the report."""
    decision = run.decision
    assert decision is not None
    style = _STYLES.get(decision.verdict.outcome, "bold red") if decision.published else "bold red"
    console.print(Text(f"\n{decision.headline}", style="bold yellow" if decision.forced_by else style))
    lines = [f"release {decision.release}: {decision.reason}"]
    if run.served is not None and run.evaluation is not None:
        lines += _served(run)
    lines += [f"warning: {text}" for text in decision.verdict.warnings]
    lines += [f"advice: {text}" for text in advice(run.evaluation)]
    for line in lines:
        console.print(line, markup=False)


def _served(run: RunRecord) -> list[str]:
    served, one = run.served, run.evaluation
    assert served is not None
    assert one is not None
    systems, value = Systems(run, one), served.value
    lines = [f"{metric_name(served.metric)} {value} on {one.queries:,} queries: {systems.name(served.system)}"]
    for other in systems.tables:
        if other in served.differences:
            by = served.differences[other]
            lines.append(f"    {by.mean:+.4f} ({by.low:+.4f} to {by.high:+.4f}) than {systems.name(other)}")
    return lines
