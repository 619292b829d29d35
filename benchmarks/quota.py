"""A training step under a CPU quota: threads by the quota, set by hand, and one for each core of the machine.

    python -m benchmarks.quota [--cores 1,2] [--rounds 3]      (root, on Linux with a writable control group)

The three run in turns, each in a process of its own inside a new control group. The quota's threads are to be within
10 % of those set by hand.
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

from benchmarks.kept import Figures

_ROOT = Path("/sys/fs/cgroup")
_PERIOD_US = 100_000
_BENCH = ["-m", "benchmarks.train", "--encoder", "attention", "--positions", "last", "--batch", "256", "--steps", "100"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", default="1,2", help="quotas, with commas between")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    for cores in map(float, given.cores.split(",")):
        threads = {"by the quota": [], "by hand": ["--threads", str(int(cores))], "a core": ["--threads", _machine()]}
        seen: dict[str, list[float]] = {name: [] for name in threads}
        with _quota(cores) as group:
            for _ in range(given.rounds):
                for name, options in threads.items():
                    seen[name].append(_steps_a_second(group, options))
        base = statistics.median(seen["by hand"])
        for name, runs in seen.items():
            speed = statistics.median(runs)
            told = " ".join(f"{one:.1f}" for one in runs)
            print(
                f"quota of {cores:g}, threads {name:12} {speed:6.1f} steps/s, {speed / base:.2f} times by hand ({told})"
            )


def _machine() -> str:
    return str(os.cpu_count())


def _steps_a_second(group: Path, options: list[str]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "figures.json")
        bench = [sys.executable, *_BENCH, *options, "--json", str(out)]
        inside = f'echo $$ > {group / "cgroup.procs"} && exec "$@"'
        environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
        subprocess.run(["sh", "-c", inside, "sh", *bench], check=True, env=environment, stdout=subprocess.DEVNULL)
        return Figures.read(out).figures[0].value


@contextmanager
def _quota(cores: float) -> Iterator[Path]:
    """A control group, v1 or v2, that may use so many cores. Raises OSError where none can be made."""
    v2 = (_ROOT / "cgroup.controllers").exists()
    group = (_ROOT if v2 else _ROOT / "cpu") / f"shortlist-{os.getpid()}"
    group.mkdir()
    try:
        if v2:
            (group / "cpu.max").write_text(f"{int(cores * _PERIOD_US)} {_PERIOD_US}")
        else:
            (group / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(str(int(cores * _PERIOD_US)))
        yield group
    finally:
        group.rmdir()


if __name__ == "__main__":
    main()
