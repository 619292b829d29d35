"""What candidate sources cost: `python -m benchmarks.sources [--items 20000]`.

One query, 500 candidates, the ranker in this process and no network. Each release differs in its `candidates` alone.
All are asked in turns, so that the ratio to the towers alone holds whatever else the machine does.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.in_turns import print_in_turns
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
        asks = {}
        for number, (name, candidates) in enumerate(CASES.items()):
            release = Path(folder) / str(number)
            make_release(release, num_items=arguments.items, num_users=arguments.users, candidates=candidates)
            asks[name] = _ask(release)
        print(
            f"{arguments.items:,} items, {arguments.users:,} users, 500 candidates, k = 10, {arguments.rounds} rounds"
        )
        print_in_turns(asks, arguments.rounds, arguments.users, "candidates")


def _ask(release: Path) -> Callable[[int], object]:
    recommender = ReleaseRecommender.open(release)
    ranker = Ranker.open(release / "ranking", release / "retrieval", recommender.release.store)

    def ask(user: int) -> object:
        found = recommender.find([Query(k=10, user_id=user)])
        return recommender.answers(found, None if found.request is None else ranker.score(found.request), None)

    return ask


if __name__ == "__main__":
    main()
