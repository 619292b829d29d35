"""What the rules of a list cost: `python -m benchmarks.rules [--items 20000]`.

One query, 500 candidates, the ranker in this process and no network: each case is asked in turns with the query that
has no rules, so that the ratio holds whatever else the machine does.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.made_release import make_release
from shortlist.answer.query import Query
from shortlist.answer.release_recommender import ReleaseRecommender
from shortlist.ranking.ranker import Ranker

_WHERE = "genres IN ('genres 0000001', 'genres 0000002', 'genres 0000003')"
CASES: dict[str, dict[str, Any]] = {
    "where (a third of the items)": {"where": _WHERE},
    "boost": {"boost": [{"where": "genres = 'genres 0000004'", "by": 0.5}]},
    "at_most (2 an artist)": {"at_most": {"artist": 2}},
    "diversity": {"diversity": 0.3},
    "pin": {"pin": [1001, 1002]},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=200)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        release = Path(folder) / "release"
        make_release(release, num_items=arguments.items)
        recommender = ReleaseRecommender.open(release)
        ranker = Ranker.open(release / "ranking", release / "retrieval", recommender.release.store)
        everything = {name: value for rules in CASES.values() for name, value in rules.items()}
        everything["pin"] = []  # a pin must be kept by `where`
        cases = CASES | {"all but pin": everything}
        milliseconds: dict[str, list[float]] = {name: [] for name in ("none", *cases)}
        rng = np.random.default_rng(0)
        for at in range(arguments.rounds + 20):
            user = int(rng.integers(1, recommender.release.store.users.num_rows))
            for name, rules in ({"none": {}} | cases).items():
                start = time.perf_counter()
                found = recommender.find([Query(k=10, user_id=user, rules=rules)])
                scores = None if found.request is None else ranker.score(found.request)
                recommender.answers(found, scores, None)
                if at >= 20:
                    milliseconds[name].append(1e3 * (time.perf_counter() - start))
        base = np.array(milliseconds["none"])
        print(f"{arguments.items:,} items, 500 candidates, k = 10, {arguments.rounds} rounds in turns")
        print(f"{'rules':32}{'p50 ms':>8}{'p99 ms':>8}{'ratio':>8}")
        for name, values in milliseconds.items():
            ratio = np.median(np.array(values) / base)
            print(f"{name:32}{np.median(values):8.2f}{np.percentile(values, 99):8.2f}{ratio:8.2f}")


if __name__ == "__main__":
    main()
