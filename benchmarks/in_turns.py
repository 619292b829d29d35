"""Times cases in turns, so that their ratios hold whatever else the machine does."""

import time
from collections.abc import Callable, Mapping

import numpy as np

_WARM_UPS = 20


def print_in_turns(cases: Mapping[str, Callable[[int], object]], rounds: int, num_users: int, title: str) -> None:
    """Ask each case for the same random user, `rounds` times, and print milliseconds and the ratio to the first one."""
    milliseconds: dict[str, list[float]] = {name: [] for name in cases}
    rng = np.random.default_rng(0)
    for at in range(rounds + _WARM_UPS):
        user = int(rng.integers(1, num_users))
        for name, ask in cases.items():
            start = time.perf_counter()
            ask(user)
            if at >= _WARM_UPS:
                milliseconds[name].append(1e3 * (time.perf_counter() - start))
    base = np.array(next(iter(milliseconds.values())))
    print(f"{title:32}{'p50 ms':>8}{'p99 ms':>8}{'ratio':>8}")
    for name, values in milliseconds.items():
        ratio = np.median(np.array(values) / base)
        print(f"{name:32}{np.median(values):8.2f}{np.percentile(values, 99):8.2f}{ratio:8.2f}")
