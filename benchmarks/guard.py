"""The main benches at the last kept revision and at this one, in turns: what became slower?

    make bench-guard
    python -m benchmarks.guard [--rounds 3] [--only train,prepare,serving] [--tolerance 0.15] [--keep]

The kept revision is that of docs/figures/speed.json; it is checked out beside this one and run by the same packages on
the same data. A machine drifts, so a figure is the median of the ratios of neighbouring runs. One that is worse by more
than the tolerance, and worse in every round, ends with status 1. `--keep` writes this revision's figures in its place:
commit them with what explains them. Without kept figures only this revision is measured.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.kept import SPEED, Figure, Figures
from benchmarks.music import DATA

ROOT = Path(__file__).parents[1]
BENCHES = {
    "train": ["--encoder", "attention", "--positions", "last", "--batch", "256", "--data", str(DATA.resolve())],
    "prepare": ["--rounds", "1", "--data", str(DATA.resolve())],
    "serving": ["--items", "20000", "--repeats", "1"],
}
Runs = dict[tuple[str, str], list[Figure]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join(BENCHES), help="with commas between")
    parser.add_argument("--tolerance", type=float, default=0.15)
    parser.add_argument("--against", help="a revision, in place of the kept one")
    parser.add_argument("--keep", action="store_true", help=f"write {SPEED.relative_to(ROOT)}")
    given = parser.parse_args()
    benches = given.only.split(",")
    if unknown := [name for name in benches if name not in BENCHES]:
        parser.error(f"no bench {', '.join(unknown)}; there are {', '.join(BENCHES)}")
    if given.keep and _git("status", "--porcelain", "--", ":!docs"):
        parser.error("--keep: figures are kept with their revision; commit first")
    if given.keep and len(benches) < len(BENCHES):
        parser.error("--keep: figures of one revision are kept together; leave --only out")
    against = given.against or (Figures.read(SPEED).revision if SPEED.exists() else "")
    DATA.mkdir(parents=True, exist_ok=True)
    before: Runs = {}
    now: Runs = {}
    with _checkout(against) as kept:
        for turn in range(given.rounds):
            for bench in benches:
                for name, tree, runs in ((against, kept, before), ("this", ROOT, now)):
                    if tree is not None:
                        print(f"round {turn + 1} of {given.rounds}: {bench} at {name}", flush=True)
                        for figure in _run(bench, tree):
                            runs.setdefault((figure.bench, figure.name), []).append(figure)
    slower = _compare(before, now, against, given.tolerance)
    if given.keep:
        medians = [one[0].model_copy(update={"value": round(_median(one), 3)}) for one in now.values()]
        Figures.here(medians, _git("rev-parse", "--short", "HEAD")).write(SPEED)
        print(f"wrote {SPEED.relative_to(ROOT)}; next: make figures")
    for name in slower:
        print(f"slower than at {against}: {name}")
    return 1 if slower else 0


def _compare(before: Runs, now: Runs, against: str, tolerance: float) -> list[str]:
    """Print a line a figure; the names of those that are worse."""
    slower = []
    for key, runs in now.items():
        name, here = ": ".join(key), _median(runs)
        if key not in before:
            print(f"{name:62} {here:10.2f}")
            continue
        ratios = [_worse(one, other) for one, other in zip(runs, before[key], strict=True)]
        there, worse = _median(before[key]), statistics.median(ratios)
        told = " ".join(f"{one:.2f}" for one in ratios)
        print(f"{name:62} {here:10.2f}, {there:.2f} at {against}: cost {worse:.2f} times ({told})")
        if worse > 1 + tolerance and min(ratios) > 1:
            slower.append(name)
    return slower


def _worse(here: Figure, there: Figure) -> float:
    """How many times as much it costs here as there."""
    return here.value / there.value if here.better == "lower" else there.value / here.value


def _median(figures: list[Figure]) -> float:
    return statistics.median(one.value for one in figures)


def _run(bench: str, tree: Path) -> list[Figure]:
    """The figures of one bench by the code in `tree`; raises SystemExit with what it printed when it fails."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "figures.json")
        command = [sys.executable, "-m", f"benchmarks.{bench}", *BENCHES[bench], "--json", str(out)]
        paths = [str(tree), *filter(None, [os.environ.get("PYTHONPATH")])]
        ended = subprocess.run(
            command,
            check=False,
            cwd=tree,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            capture_output=True,
            text=True,
        )
        if ended.returncode or not out.exists():
            sys.exit(f"{' '.join(command)} in {tree} ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")
        return Figures.read(out).figures


@contextmanager
def _checkout(revision: str) -> Iterator[Path | None]:
    """A work tree of a revision beside this one; None for no revision."""
    if not revision:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "kept")
        _git("worktree", "add", "--detach", str(tree), revision)
        try:
            yield tree
        finally:
            _git("worktree", "remove", "--force", str(tree))


def _git(*arguments: str) -> str:
    """What git prints; raises SystemExit with its message when it fails."""
    ended = subprocess.run(["git", *arguments], check=False, cwd=ROOT, capture_output=True, text=True)
    if ended.returncode:
        sys.exit(f"git {' '.join(arguments)}: {ended.stderr.strip()}")
    return ended.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
