"""The published protocol of Yambda, on generated data of its exact shape, against the rules written out once more."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from shortlist.data.ingest import ingest
from shortlist.data.validate.step import validate
from shortlist.dataset.prepare import prepare
from shortlist.dataset.prepared import EvaluationQueries, Prepared
from shortlist.metrics.ranking import find_hits, ranking_metrics
from shortlist.recipe import Recipe, load_recipe

RECIPE = Path(__file__).parents[3] / "recipes/bench/yambda.yaml"
LAST, DAY, GAP = 26_000_000, 86_400, 1_800
TEST_START = LAST - DAY
VALID_END = TEST_START - GAP
VALID_START = VALID_END - DAY
TRAIN_END = VALID_START - GAP


def write_log(folder: Path) -> pl.DataFrame:
    """Listens as they are published: 5-second steps, sorted by uid and timestamp, and the two mappings."""
    rng = np.random.default_rng(3)
    count = 12_000
    # Half of the log in the last four days, so that every window and every gap has some.
    time = np.concatenate(
        [rng.integers(0, LAST // 5, count // 2), rng.integers((LAST - 4 * DAY) // 5, LAST // 5, count // 2)]
    )
    edges = [TRAIN_END - 5, TRAIN_END, VALID_START, VALID_END - 5, VALID_END, TEST_START - 5, TEST_START, LAST - 5]
    time[: len(edges)] = np.array(edges) // 5
    listens = pl.DataFrame(
        {
            "uid": rng.integers(1, 40, count) * 100,
            "timestamp": time * 5,
            "item_id": rng.zipf(1.3, count).clip(max=300) * 11,
            "is_organic": rng.integers(0, 2, count),
            "played_ratio_pct": np.append(np.full(len(edges), 100), rng.integers(0, 120, count - len(edges))),
            "track_length_seconds": rng.integers(60, 400, count),
        },
        schema={
            "uid": pl.UInt32,
            "timestamp": pl.UInt32,
            "item_id": pl.UInt32,
            "is_organic": pl.UInt8,
            "played_ratio_pct": pl.UInt16,
            "track_length_seconds": pl.UInt32,
        },
    ).sort("uid", "timestamp")
    (folder / "flat/50m").mkdir(parents=True)
    listens.write_parquet(folder / "flat/50m/listens.parquet")
    items = listens["item_id"].unique().sort()
    for key in ("artist", "album"):
        pairs = pl.DataFrame({f"{key}_id": (items % 7 + 1).cast(pl.UInt32), "item_id": items})
        pairs.write_parquet(folder / f"{key}_item_mapping.parquet")
    return listens


@pytest.fixture(scope="module")
def prepared_log(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, Prepared, pl.DataFrame]:
    """The recipe of the bench on the generated log, and the log's Listen+ events."""
    folder = tmp_path_factory.mktemp("yambda")
    listens = write_log(folder / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("YAMBDA", str(folder / "data"))
        recipe = load_recipe(RECIPE)
    ingest(recipe, folder / "raw")
    validate(recipe, folder / "raw", folder / "clean", folder / "quarantine", folder / "docs.html")
    prepare(recipe, folder / "clean", folder / "prepared")
    return recipe, Prepared.open(folder / "prepared"), listens.filter(pl.col("played_ratio_pct") >= 50)


def rows_of(prepared: Prepared, heard: pl.DataFrame) -> list[tuple[int, int, int]]:
    """(user row, time, item row) of events, in order."""
    users, items = (
        prepared.store.users.rows(heard["uid"].to_numpy()),
        prepared.store.items.rows(heard["item_id"].to_numpy()),
    )
    return sorted(zip(users.tolist(), heard["timestamp"].to_list(), items.tolist(), strict=True))


def test_the_windows_are_the_published_ones(prepared_log: tuple[Recipe, Prepared, pl.DataFrame]) -> None:
    _, prepared, heard = prepared_log
    samples, time = prepared.samples, pl.col("timestamp")
    windows = {
        0: ((time >= TRAIN_END) & (time < VALID_START)) | ((time >= VALID_END) & (time < TEST_START)),
        1: time < TRAIN_END,
        2: (time >= VALID_START) & (time < VALID_END),
        3: time >= TEST_START,
    }
    for part, inside in windows.items():
        at = np.flatnonzero((samples.part == part) & samples.label)
        found = sorted(
            zip(samples.user[at].tolist(), samples.time[at].tolist(), samples.item[at].tolist(), strict=True)
        )
        assert len(found) > 0
        assert found == rows_of(prepared, heard.filter(inside)), part


@pytest.mark.parametrize(("part", "start", "end"), [("valid", VALID_START, VALID_END), ("test", TEST_START, LAST)])
def test_a_query_knows_what_is_older_than_the_gap_and_repeats_count(
    part: str, start: int, end: int, prepared_log: tuple[Recipe, Prepared, pl.DataFrame]
) -> None:
    _, prepared, heard = prepared_log
    asked: EvaluationQueries = getattr(prepared, part)
    rows = rows_of(prepared, heard)
    out = set(np.flatnonzero(prepared.store.available.at(start)).tolist())  # of the others no release could know
    judged = {user for user, time, item in rows if start <= time < end and item in out}
    assert asked.user.tolist() == sorted(judged)
    repeats = 0
    for q, user in enumerate(asked.user.tolist()):
        history = prepared.store.history_items[asked.start[q] : asked.end[q]].tolist()
        before = [(time, item) for who, time, item in rows if who == user and time < start - GAP]
        assert sorted(history) == sorted(item for _, item in before)
        targets = asked.target_items[asked.target_offsets[q] : asked.target_offsets[q + 1]].tolist()
        assert targets == sorted({item for who, time, item in rows if who == user and start <= time < end} & out)
        repeats += len(set(targets) & set(history))
    assert repeats > 0


def test_the_metrics_by_hand() -> None:
    # One listener with tracks 4 and 7 in a list of 9 4 5 7, and one of whose three tracks none is found.
    lists = np.array([[9, 4, 5, 7], [1, 2, 3, 8]])
    targets, offsets = np.array([4, 7, 5, 6, 9]), np.array([0, 2, 5])
    values = ranking_metrics(find_hits(lists, offsets, targets), np.diff(offsets), [10, 100])
    # Hits at ranks 2 and 4: 1 / log2(3) + 1 / log2(5), of at best 1 / log2(2) + 1 / log2(3).
    assert values["ndcg_at_10"].tolist() == pytest.approx([(0.63093 + 0.43068) / (1 + 0.63093), 0], abs=1e-5)
    assert values["recall_at_100"].tolist() == [1, 0]
    assert values["ndcg_at_10"].mean() == pytest.approx(0.32546, abs=1e-5)
