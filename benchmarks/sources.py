"""What candidate sources cost: `python -m benchmarks.sources [--items 20000]`.

One query, 500 candidates, the ranker in this process and no network. Each release differs in its `candidates` alone.
All are asked in turns, so that the ratio to the towers alone holds whatever else the machine does.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.made_release import make_release
from shortlist.answer.query import Query
from shortlist.answer.release_recommender import ReleaseRecommender
from shortlist.ranking.ranker import Ranker

SOURCES = {
    "item_neighbours": "{kind: item_neighbours}",
    "user_neighbours": "{kind: user_neighbours}",
    "same_attribute": "{kind: same_attribute, of: artist}",
    "popularity": "{kind: popularity}",
    "repeats": "{kind: repeats}",
}
CASES = {
    "two_tower alone": "{}",
    **{f"with {name}": f"{{sources: [{{kind: two_tower}}, {one}]}}" for name, one in SOURCES.items()},
    "all six": f"{{sources: [{{kind: two_tower}}, {', '.join(SOURCES.values())}]}}",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=200)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        opened = {}
        for number, (name, candidates) in enumerate(CASES.items()):
            release = Path(folder) / str(number)
            make_release(release, num_items=arguments.items, num_users=arguments.users, candidates=candidates)
            recommender = ReleaseRecommender.open(release)
            ranker = Ranker.open(release / "ranking", release / "retrieval", recommender.release.store)
            opened[name] = recommender, ranker
        milliseconds: dict[str, list[float]] = {name: [] for name in CASES}
        rng = np.random.default_rng(0)
        for at in range(arguments.rounds + 20):
            user = int(rng.integers(1, arguments.users))
            for name, (recommender, ranker) in opened.items():
                start = time.perf_counter()
                found = recommender.find([Query(k=10, user_id=user)])
                scores = None if found.request is None else ranker.score(found.request)
                recommender.answers(found, scores, None)
                if at >= 20:
                    milliseconds[name].append(1e3 * (time.perf_counter() - start))
        base = np.array(milliseconds["two_tower alone"])
        print(
            f"{arguments.items:,} items, {arguments.users:,} users, 500 candidates, k = 10, {arguments.rounds} rounds"
        )
        print(f"{'candidates':32}{'p50 ms':>8}{'p99 ms':>8}{'ratio':>8}")
        for name, values in milliseconds.items():
            ratio = np.median(np.array(values) / base)
            print(f"{name:32}{np.median(values):8.2f}{np.percentile(values, 99):8.2f}{ratio:8.2f}")


if __name__ == "__main__":
    main()
