"""Ingest and prepare together against a bare Polars read, sort and write of the same file.

    python -m benchmarks.prepare [--events 10000000] [--rounds 3] [--order time|listener] [--json FILE]

All run in turn, A B C A B C, each time in a process of its own, so that none warms up for another and the peak memory
is its own. The figure to reach is 2 x bare for both steps, under 4 GB.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from benchmarks.ingest import bare, listens_of, make_events, measured
from benchmarks.kept import Figure, Figures
from benchmarks.music import DATA
from shortlist.data.ingest import ingest
from shortlist.dataset.prepare import prepare


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--order", choices=["time", "listener"], default="time")
    parser.add_argument("--data", type=Path, default=DATA, help="where the log is kept")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    given = parser.parse_args()
    recipe = make_events(given.events, given.data, given.order)
    seen: dict[str, list[tuple[float, float]]] = {"bare": [], "ingest": [], "prepare": []}
    with tempfile.TemporaryDirectory(dir=given.data) as name:
        folder = Path(name)
        for _ in range(given.rounds):
            seen["bare"].append(measured(bare, listens_of(recipe), folder / "bare"))
            seen["ingest"].append(measured(ingest, recipe, folder / "tables"))
            seen["prepare"].append(measured(prepare, recipe, folder / "tables", folder / "prepared"))
    both = [(one[0] + two[0], max(one[1], two[1])) for one, two in zip(seen["ingest"], seen["prepare"], strict=True)]
    base = statistics.median(seconds for seconds, _ in seen["bare"])
    print(f"{given.events:,} events in order of {given.order}, {given.rounds} rounds, medians")
    figures = []
    for title, runs in {**seen, "ingest + prepare": both}.items():
        seconds, peak = statistics.median(s for s, _ in runs), max(p for _, p in runs)
        print(f"{title:16} {seconds:7.2f} s   {seconds / base:5.2f} x bare   peak {peak:.2f} GB")
        if title != "bare":
            figures.append(Figure(bench="prepare", name=f"{title}, times bare", value=seconds / base, better="lower"))
    figures.append(Figure(bench="prepare", name="peak GB", value=max(peak for _, peak in both), better="lower"))
    if given.json:
        Figures.here(figures).write(given.json)


if __name__ == "__main__":
    main()
