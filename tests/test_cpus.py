"""Threads follow the control groups and the affinity, not the machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shortlist.cpus import available_cpus, limit_threads, set_threads

CORES = len(os.sched_getaffinity(0))


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.mark.parametrize(
    ("groups", "files", "cpus"),
    [
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000", "a/cpu.max": "100000 100000"}, 1),
        ("0::/\n", {"cpu.max": "150000 100000"}, 1),
        ("0::/\n", {"cpu.max": "50000 100000"}, 1),
        ("0::/\n", {"cpu.max": "max 100000"}, CORES),
        ("0::/kubepods/pod1/x\n", {"cpu.max": "100000 100000"}, 1),  # the host's path, seen from inside
        (
            "4:cpu,cpuacct:/a\n",
            {"cpu,cpuacct/a/cpu.cfs_quota_us": "100000", "cpu,cpuacct/a/cpu.cfs_period_us": "100000"},
            1,
        ),
        ("4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, CORES),
        ("3:memory:/a\n", {"memory/a/x": ""}, CORES),
        ("0::/\n", {"cpu.max": "nonsense"}, CORES),
    ],
)
def test_the_smallest_quota_on_the_way_up_counts(groups: str, files: dict[str, str], cpus: int, tmp_path: Path) -> None:
    write(tmp_path, files | {"groups": groups})
    assert available_cpus(tmp_path, tmp_path / "groups") == cpus


def test_without_control_groups_the_affinity_counts(tmp_path: Path) -> None:
    assert available_cpus(tmp_path, tmp_path / "missing") == CORES


def test_what_a_person_sets_stays() -> None:
    environment = {"OMP_NUM_THREADS": "7", "POLARS_MAX_THREADS": "3"}
    limit_threads(environment)
    assert environment["OMP_NUM_THREADS"] == environment["OPENBLAS_NUM_THREADS"] == "7"
    assert environment["POLARS_MAX_THREADS"] == "3"


def test_libraries_keep_to_one_core() -> None:
    code = (
        "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
        "from shortlist.cpus import limit_threads; limit_threads()\n"
        "import faiss, polars, torch\n"
        "print(torch.get_num_threads(), polars.thread_pool_size(), faiss.omp_get_max_threads())"
    )
    plain = {name: value for name, value in os.environ.items() if not name.endswith("_THREADS")}
    done = subprocess.run([sys.executable, "-c", code], env=plain, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1", "1"]


@pytest.mark.parametrize(("given", "set_to"), [("8", "2"), ("1", "1"), (None, "2")])
def test_a_share_of_the_cores_is_not_more_than_what_was_given(given: str | None, set_to: str) -> None:
    environment = {"OMP_NUM_THREADS": given} if given else {}
    set_threads(2, environment)
    assert environment["OMP_NUM_THREADS"] == environment["POLARS_MAX_THREADS"] == set_to
