"""What the rules of a list cost: `python -m benchmarks.rules [--items 20000]`.

One query, 500 candidates, the ranker in this process and no network: each case is asked in turns with the query that
has no rules, so that the ratio holds whatever else the machine does.
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.in_turns import print_in_turns
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

        def ask(user: int, rules: dict[str, Any]) -> object:
            found = recommender.find([Query(k=10, user_id=user, rules=rules)])
            return recommender.answers(found, None if found.request is None else ranker.score(found.request), None)

        cases = {"none": {}} | CASES | {"all but pin": everything}
        asks = {name: partial(ask, rules=rules) for name, rules in cases.items()}
        print(f"{arguments.items:,} items, 500 candidates, k = 10, {arguments.rounds} rounds in turns")
        print_in_turns(asks, arguments.rounds, recommender.release.store.users.num_rows, "rules")


if __name__ == "__main__":
    main()
