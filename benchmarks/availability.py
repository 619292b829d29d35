"""What reading the availability file again costs the answers: `python -m benchmarks.availability [--items 200000]`.

One thread asks without a pause, as a busy transformer does, without a network and unranked. In turns the file is left
alone, and is new all the time, so that another thread always reads it and swaps the stages.
"""

import argparse
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from benchmarks.made_release import make_release
from shortlist.answer.query import Query
from shortlist.answer.release_recommender import ReleaseRecommender
from shortlist.recipe import AvailabilityFile
from shortlist.serving.transformer.availability import AvailabilityWatcher


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each turn")
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make_release(Path(folder) / "release", num_items=given.items, ranks=False)
        recommender = ReleaseRecommender.open(Path(folder) / "release")
        file = Path(folder) / "now.csv"
        lines = "".join(f"{item},{item % 10}\n" for item in range(1000, 1000 + given.items))
        file.write_text(f"item_id,stock\n{lines}")
        watcher = AvailabilityWatcher(recommender, AvailabilityFile(path=str(file)))
        start = time.perf_counter()
        watcher.look()
        print(f"{given.items:,} items; one reading and swap alone {time.perf_counter() - start:.2f} s")
        start = time.perf_counter()
        watcher.look()
        print(f"a look at an unchanged file {1e3 * (time.perf_counter() - start):.2f} ms")
        milliseconds: dict[str, list[float]] = {"left alone": [], "always new": []}
        for _ in range(given.turns):
            milliseconds["left alone"] += _asked(recommender, given.seconds)
            done = threading.Event()
            reading = threading.Thread(target=_renew, args=(file, watcher, done))
            reading.start()
            milliseconds["always new"] += _asked(recommender, given.seconds)
            done.set()
            reading.join()
        print(f"{'file':12}{'answers':>9}{'p50 ms':>8}{'p99 ms':>8}{'max ms':>8}")
        for name, values in milliseconds.items():
            p50, p99 = np.percentile(values, [50, 99])
            print(f"{name:12}{len(values):9,}{p50:8.2f}{p99:8.2f}{max(values):8.2f}")


def _asked(recommender: ReleaseRecommender, seconds: float) -> list[float]:
    rng, found = np.random.default_rng(0), []
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        query = Query(k=10, user_id=int(rng.integers(1, recommender.release.store.users.num_rows)))
        recommender.answers(recommender.find([query]), None, None)
        found.append(1e3 * (time.perf_counter() - start))
    return found


def _renew(file: Path, watcher: AvailabilityWatcher, done: threading.Event) -> None:
    while not done.is_set():
        file.touch()
        watcher.look()


if __name__ == "__main__":
    main()
