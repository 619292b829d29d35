"""Lists on a site whose items are born and die: `python -m benchmarks.churn`.

Invents a log in which an article's readers halve every week, and which is taken down after four, and carries it through
`recipes/news.yaml` from ingest to evaluation. Told are

- the share of test targets that nobody could know;
- on the others, the lists beside popularity (time-decayed, as the path has it, and of all time) and item-kNN (as the
  evaluation has it, and one that read the validation window too);
- how many items of any list were not available when it was asked for.

`--test` and `--events-only` show what a long test window and a log without a table of articles make of it.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.ingest import ingest
from shortlist.data.validate.step import validate
from shortlist.dataset.prepare import prepare
from shortlist.dataset.prepared import EvaluationQueries, Prepared
from shortlist.dataset.split import TRAIN, VALID
from shortlist.evaluation.baselines import ItemKNN
from shortlist.evaluation.evaluate import evaluate
from shortlist.evaluation.whole_path import WholePath
from shortlist.metrics.bootstrap import intervals
from shortlist.metrics.ranking import find_hits, ranking_metrics
from shortlist.ranking.training.train_ranking import train_ranking
from shortlist.recipe import Recipe, load_recipe, parse_recipe
from shortlist.recommend.sources.popularity import Popularity
from shortlist.retrieval.build_index import build_index
from shortlist.retrieval.export import export
from shortlist.retrieval.train_retrieval import train_retrieval

_DAY = 86_400
_START = 1_750_000_000
_HALF_LIFE = 7 * _DAY
_TAKEN_DOWN = 4 * _HALF_LIFE
_TOPICS = 24
_AT_ONCE = 256
_SHOWN = ("ndcg_at_10", "recall_at_10")


def invent(folder: Path, *, users: int, born_a_day: int, days: int, events: int, seed: int) -> None:
    """Write events.parquet and articles.parquet.

    A reader likes a few topics and, of these, articles by how good they are and how old. Nobody reads one twice.
    """
    rng = np.random.default_rng(seed)
    count = born_a_day * (days + 28)  # as many days before the log, so that it begins in the middle of things
    born = np.sort(rng.integers(_START - 28 * _DAY, _START + days * _DAY, count))
    topic, quality = rng.integers(_TOPICS, size=count), rng.lognormal(0, 1, count)
    taste = rng.dirichlet(np.full(_TOPICS, 0.15), users)
    active = rng.lognormal(0, 0.8, users)
    time = np.sort(rng.integers(_START, _START + days * _DAY, events))
    user = rng.choice(users, events, p=active / active.sum())
    article = np.full(events, -1)
    for first in range(0, events, 2_000):
        at = slice(first, first + 2_000)
        age = time[at, None] - born
        weight = np.where((age >= 0) & (age < _TAKEN_DOWN), quality * np.exp2(-age / _HALF_LIFE), 0)
        weight *= 0.02 + taste[user[at]][:, topic]
        total = np.cumsum(weight, axis=1)
        article[at] = (total < rng.random((len(age), 1)) * total[:, -1:]).sum(axis=1)
    folder.mkdir(parents=True, exist_ok=True)
    log = pl.DataFrame({"user": user, "article": article, "time": time}).unique(["user", "article"], keep="first")
    log.sort("time").write_parquet(folder / "events.parquet")
    pl.DataFrame(
        {
            "article": np.arange(count),
            "topic": [f"topic {number}" for number in topic.tolist()],
            "published": born,
            "removed": born + _TAKEN_DOWN,
        }
    ).write_parquet(folder / "articles.parquet")


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser("python -m benchmarks.churn", description=__doc__)
    parser.add_argument("--users", type=int, default=4_000)
    parser.add_argument("--born-a-day", type=int, default=30)
    parser.add_argument("--days", type=int, default=42)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--test", help="length of the test and of the validation window, like 14d")
    parser.add_argument("--events-only", action="store_true", help="know nothing of the articles but who read them")
    parser.add_argument("--keep", type=Path, help="write the log to this folder and train nothing")
    given = parser.parse_args()
    sizes = {name: getattr(given, name) for name in ("users", "born_a_day", "days", "events", "seed")}
    if given.keep:
        invent(given.keep, **sizes)
        return
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        invent(work / "data", **sizes)
        os.environ["SHORTLIST_NEWS"] = str(work / "data")
        recipe = load_recipe(Path(__file__).parents[1] / "recipes/news.yaml")
        _tell(_changed(recipe, given.test, events_only=given.events_only), work)


def _changed(recipe: Recipe, test: str | None, *, events_only: bool) -> Recipe:
    changed = recipe.model_dump(mode="json")
    if test:
        changed["split"] |= {"test": test, "valid": test}
    if events_only:
        changed["source"]["items"], changed["features"]["item"]["categorical"] = None, []
    return parse_recipe(json.dumps(changed))


def _tell(recipe: Recipe, work: Path) -> None:
    ingest(recipe, work / "tables")
    validate(recipe, work / "tables", work / "clean", work / "quarantine", work / "docs.html")
    prepare(recipe, work / "clean", work / "prepared")
    prepared = Prepared.open(work / "prepared")
    train_retrieval(recipe, prepared, work / "checkpoints")
    exported = export(recipe, prepared, work / "checkpoints", work / "retrieval")
    build_index(recipe, prepared, work / "retrieval", work / "index")
    train_ranking(recipe, prepared, work / "retrieval", work / "index", work / "ranking")
    parts = work / "retrieval", work / "index", work / "ranking"
    evaluate(recipe, prepared, *parts, None, work / "evaluation")
    found = json.loads((work / "evaluation/evaluation.json").read_text())

    queries = prepared.test.draw(recipe.evaluation.max_queries, recipe.seed)
    history = np.asarray(prepared.store.history_items)
    seen = [history[a:b] for a, b in zip(queries.start.tolist(), queries.end.tolist(), strict=True)]
    all_time = Popularity(np.asarray(prepared.store.popularity), prepared.store.available)
    found["systems"]["popularity of all time"] = _means(recipe, queries, all_time.rank(10, seen, queries.time))
    at, available = prepared.samples.positives((TRAIN, VALID)), prepared.store.available
    user, item = prepared.samples.user[at], prepared.samples.item[at]
    counts, read = np.bincount(item, minlength=len(available.from_N)), np.unique(np.concatenate(seen))
    knn = ItemKNN(user, item, counts, read, available=available)
    found["systems"]["item_knn of both windows"] = _means(recipe, queries, knn.rank(10, seen, seen, queries.time))
    print(f"\nitems: {exported.rows_out}")
    print(f"test targets: {found['unknowable_targets']}")
    print(f"{found['queries']} queries on the others; mean and {recipe.gate.confidence:.0%} interval")
    for system, table in (found["systems"] | found["differences"]).items():
        cells = (
            f"{one} {table[one]['mean']:+.4f} ({table[one]['low']:+.4f} to {table[one]['high']:+.4f})" for one in _SHOWN
        )
        print(f"{system:28} " + "  ".join(cells))
    path = WholePath.open(recipe, prepared.store, *parts, threads=1)
    listed = path.recommend_queries(prepared, queries, 10).ranked.rows_EK
    wrong = (listed > 0) & ~prepared.store.available.among(listed, queries.time[:, None])
    print(f"items in lists that were not available when asked for: {int(wrong.sum())} of {int((listed > 0).sum())}")


def _means(recipe: Recipe, queries: EvaluationQueries, rows_QK: NDArray[np.int64]) -> dict[str, dict[str, float]]:
    hits = find_hits(rows_QK, queries.target_offsets, queries.target_items)
    values = ranking_metrics(hits, np.diff(queries.target_offsets), [10])
    columns = np.stack([values[name] for name in _SHOWN], axis=1)
    told = intervals(
        columns, resamples=recipe.evaluation.bootstrap, confidence=recipe.gate.confidence, seed=recipe.seed
    )
    return {
        name: dict(zip(("mean", "low", "high"), (float(one[i]) for one in told), strict=True))
        for i, name in enumerate(_SHOWN)
    }


if __name__ == "__main__":
    main()
