"""`shortlist runs`: lists, shows, compares and removes the runs on this machine."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from shortlist.cli.places import RecipePath, Work, find_places
from shortlist.cli.tables import print_table

if TYPE_CHECKING:
    from shortlist.cli.run_folders import RunFolder

app = typer.Typer(help="List, show, compare and remove the runs of a recipe on this machine.", no_args_is_help=True)

Run = Annotated[str, typer.Argument(help="The run's name, its first characters, or 'last'.", metavar="RUN")]


@app.command("list")
def list_all(recipe: RecipePath, work: Work = None) -> None:
    """List all runs, newest first."""
    from rich.table import Table

    from shortlist.cli.run_folders import list_runs

    places = find_places(recipe, work)
    found = list_runs(places.runs)
    if not found:
        raise ValueError(places.none("no run"))
    metric = places.recipe.gate.metric
    table = Table(pad_edge=False)
    for name in ("run (UTC)", "state", "seconds", metric, "release"):
        table.add_column(name)
    for one in found:
        seconds = "" if one.seconds is None else f"{one.seconds:.0f}"
        table.add_row(one.name, _state(one), seconds, _shown(_metrics(one).get(metric)), _release(one))
    print_table(table)


@app.command()
def show(recipe: RecipePath, run: Run = "last", work: Work = None) -> None:
    """Show a run: its steps, its metrics and its release, or why it failed."""
    from shortlist.cli.run_folders import State, find_run

    one = find_run(find_places(recipe, work).runs, run)
    _print(f"run       {one.name}: {_state(one)}", *([] if one.seconds is None else [f"seconds   {one.seconds:.0f}"]))
    if one.origin.taken_from is not None:
        _print(f"from      {one.origin.taken_from}")
    for at in one.origin.resumed:
        _print(f"resumed   {at:%Y-%m-%d %H:%M:%S} UTC")
    if one.record is not None:
        decision = one.record["decision"]
        _print(f"release   {decision['release']}: {decision['reason']}")
        for step in one.record["steps"]:
            _print(f"step      {step['step']:<16} {step['seconds']:8.1f} s {step['peak_memory_mb']:8.0f} MB")
        for name, value in _metrics(one).items():
            _print(f"metric    {name:<16} {_shown(value)}")
        _print(f"report    {one.path / 'report.html'}")
    if one.failure:
        _print(f"failed    {one.failure}")
    if one.state in (State.FAILED, State.STOPPED):
        _print(f"go on     shortlist run {recipe} --resume {one.name}")
    _print(f"folder    {one.path}")


@app.command()
def diff(recipe: RecipePath, run: Run, other: Run, work: Work = None) -> None:
    """Compare two runs: differences of their recipes, their metrics, and which digests are equal."""
    from rich.table import Table

    from shortlist.cli.run_folders import find_run

    runs = find_places(recipe, work).runs
    both = find_run(runs, run), find_run(runs, other)
    table = Table(pad_edge=False)
    for name in ("", both[0].name, both[1].name, ""):
        table.add_column(name)
    table.add_row("state", both[0].state, both[1].state)
    left, right = (_flat(_recipe(one)) for one in both)
    for key in dict.fromkeys([*left, *right]):
        if left.get(key) != right.get(key):
            table.add_row(key, left.get(key, "(default)"), right.get(key, "(default)"))
    table.add_section()
    metrics = [_metrics(one) for one in both]
    for key in dict.fromkeys([*metrics[0], *metrics[1]]):
        means = [one.get(key, {}).get("mean") for one in metrics]
        change = "" if None in means else f"{means[1] - means[0]:+.4f}"
        table.add_row(key, _shown(metrics[0].get(key)), _shown(metrics[1].get(key)), change)
    table.add_section()
    digests = [(one.record or {}).get("digests") or {} for one in both]
    for key, digest in digests[0].items():
        if (beside := digests[1].get(key)) is not None:
            table.add_row(f"{key} (digest)", digest, beside, "=" if digest == beside else "")
    print_table(table)


@app.command()
def remove(
    recipe: RecipePath,
    runs: Annotated[list[str], typer.Argument(help="Names of runs, or their first characters.", metavar="RUN...")],
    work: Work = None,
) -> None:
    """Delete runs, unless one of them is active. Releases are kept; delete them with `shortlist releases prune`."""
    from shortlist.cli.run_folders import find_run, remove_runs

    folder = find_places(recipe, work).runs
    found = {one.path: one for one in (find_run(folder, name) for name in runs)}
    remove_runs(folder, [*found.values()])
    _print(f"deleted: {', '.join(one.name for one in found.values())}")


def _state(run: "RunFolder") -> str:
    return f"{run.state} after {run.stopped_after}" if run.stopped_after else run.state


def _metrics(run: "RunFolder") -> dict[str, Any]:
    """Metric -> mean and interval of the served system; empty for a run without an evaluation."""
    record = run.record or {}
    systems: dict[str, Any] = (record.get("evaluation") or {}).get("systems", {})
    serves = ((record.get("decision") or {}).get("verdict") or {}).get("serves", "path")
    found: dict[str, Any] = systems.get(serves) or systems.get("path") or {}
    return found


def _release(run: "RunFolder") -> str:
    return ((run.record or {}).get("decision") or {}).get("release") or ""


def _shown(interval: dict[str, float] | None) -> str:
    from shortlist.release.manifest import Interval

    return str(Interval.model_validate(interval)) if interval else ""


def _recipe(run: "RunFolder") -> Any:
    from shortlist.recipe.yaml_text import load_yaml

    path = run.path / "recipe.yaml"
    return load_yaml(path.read_text(encoding="utf-8")) if path.exists() else {}


def _flat(value: Any, path: str = "") -> dict[str, str]:
    """Path in a recipe, like `retrieval.training.epochs`, -> its value as text."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if inner is None:
        return {path: str(value)}
    flat: dict[str, str] = {}
    for key, one in inner:
        flat |= _flat(one, f"{path}.{key}" if path else str(key))
    return flat


def _print(*lines: str) -> None:
    for line in lines:
        typer.echo(line)
