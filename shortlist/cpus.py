"""The number of cores that this process may use, and the limit of threads to that number.

Libraries use the number of cores of the machine. In a container with a CPU limit they start a thread for each core of
the node, and threads that wait for one another while the kernel throttles them can make a step ten times slower.
"""

import os
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_V1_CONTROLLERS = ("cpu,cpuacct", "cpu")
_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "POLARS_MAX_THREADS")
"""Read by torch, FAISS and Arrow (OpenMP), by numpy's libraries, and by Polars, each when it is imported."""


def available_cpus(root: Path = _ROOT, groups: Path = Path("/proc/self/cgroup")) -> int:
    """Whole cores that the affinity and the control groups (v1 and v2) allow this process to use, at least 1.

    A quota of 2.5 cores counts as 2: a third thread would wait half of the time, and the others would wait for it. A
    pod with a CPU request but no limit may use all cores of its node.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([cores, *(int(quota) for quota in _quotas(root, groups))]))


def limit_threads(environment: MutableMapping[str, str] = os.environ) -> None:
    """Limit the threads of libraries that are imported later, also in child processes; existing values are kept."""
    given = environment.get("OMP_NUM_THREADS", "")
    threads = given if given.isdigit() else str(available_cpus())
    for name in _VARIABLES:
        environment.setdefault(name, threads)


def set_threads(threads: int, environment: MutableMapping[str, str]) -> None:
    """Limit the threads of libraries to at most this number, also where a larger limit is set."""
    given = environment.get("OMP_NUM_THREADS", "")
    limit = min(int(given), threads) if given.isdigit() else threads
    environment.update(dict.fromkeys(_VARIABLES, str(limit)))


def _quotas(root: Path, groups: Path) -> list[float]:
    """Cores allowed by each control group around this process."""
    try:
        lines = groups.read_text().splitlines()
    except OSError:
        return []
    found: list[float] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            found += _upwards(root, path, _quota_v2)
        elif "cpu" in controllers.split(","):
            for name in _V1_CONTROLLERS:
                if (root / name).is_dir():
                    found += _upwards(root / name, path, _quota_v1)
                    break
    return found


def _upwards(root: Path, path: str, read: Callable[[Path], list[float]]) -> list[float]:
    """The quotas of a group and its ancestors. In a container the path may be the host's; then the root is read."""
    folder = root / path.lstrip("/")
    found = []
    while True:
        with suppress(OSError, ValueError):  # the root has no such file
            found += read(folder)
        if folder == root or root not in folder.parents:
            return found
        folder = folder.parent


def _quota_v2(folder: Path) -> list[float]:
    quota, period = (folder / "cpu.max").read_text().split()
    return [] if quota == "max" else [int(quota) / int(period)]


def _quota_v1(folder: Path) -> list[float]:
    quota, period = (int((folder / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
    return [] if quota <= 0 else [quota / period]
