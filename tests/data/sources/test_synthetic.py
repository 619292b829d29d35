"""The invented music log: deterministic, of Yambda's shape, learnable, and as dirty as it says."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp

from shortlist.data import tables
from shortlist.data.ingest import ingest
from shortlist.data.sources.synthetic import FUTURE, START, write_log
from shortlist.data.sources.synthetic_catalogue import DAY
from shortlist.recipe import Recipe, SyntheticSource, load_recipe

SMALL = SyntheticSource(kind="synthetic", users=300, items=2_000, events=30_000, days=30, dirty=0.01)
FILES = [
    "album_item_mapping",
    "artist_item_mapping",
    "flat/50m/dislikes",
    "flat/50m/likes",
    "flat/50m/listens",
    "flat/50m/undislikes",
    "flat/50m/unlikes",
    "titles",
]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("log")
    write_log(folder, SMALL, seed=7)
    return folder


def read(log: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(log / f"{name}.parquet")


def sound(log: Path) -> pl.DataFrame:
    """The listens without what is wrong."""
    listens = read(log, "flat/50m/listens").drop_nulls(["uid", "item_id"])
    kept = listens.filter(
        pl.col("timestamp") < FUTURE, pl.col("played_ratio_pct") <= 200, pl.col("item_id") < 1_000_000_000
    )
    return kept.unique(["uid", "timestamp", "item_id"], maintain_order=True)


def test_the_same_seed_gives_the_same_files_and_another_does_not(log: Path, tmp_path: Path) -> None:
    write_log(tmp_path / "again", SMALL, seed=7)
    write_log(tmp_path / "other", SMALL, seed=8)
    assert sorted(str(file.relative_to(log))[: -len(".parquet")] for file in log.rglob("*.parquet")) == FILES
    for name in FILES:
        same, other = ((tmp_path / run / f"{name}.parquet").read_bytes() for run in ("again", "other"))
        assert same == (log / f"{name}.parquet").read_bytes()
        assert other != same


def test_the_files_have_the_published_columns_and_types(log: Path) -> None:
    listens = read(log, "flat/50m/listens")
    common = {"uid": pl.UInt32, "timestamp": pl.UInt32, "item_id": pl.UInt32, "is_organic": pl.UInt8}
    assert dict(listens.schema) == {**common, "played_ratio_pct": pl.UInt16, "track_length_seconds": pl.UInt32}
    for name in ("likes", "dislikes", "unlikes", "undislikes"):
        assert dict(read(log, f"flat/50m/{name}").schema) == common
    assert dict(read(log, "artist_item_mapping").schema) == {"artist_id": pl.UInt32, "item_id": pl.UInt32}
    assert dict(read(log, "album_item_mapping").schema) == {"album_id": pl.UInt32, "item_id": pl.UInt32}


def test_times_are_in_order_in_steps_of_five_and_within_the_days(log: Path) -> None:
    listens = sound(log)
    assert listens.select("uid", "timestamp").equals(listens.select("uid", "timestamp").sort("uid", "timestamp"))
    assert (listens["timestamp"] % 5 == 0).all()
    assert listens["timestamp"].min() >= START  # type: ignore[operator] # numbers
    assert listens["timestamp"].max() < START + (SMALL.days + 1) * DAY  # type: ignore[operator] # numbers


def test_nothing_is_heard_before_it_is_out(log: Path) -> None:
    first = sound(log).group_by("item_id").agg(pl.col("timestamp").min())
    late = (first["timestamp"] > START + SMALL.days * DAY // 2).mean()
    assert 0.1 < late < 0.6  # type: ignore[operator] # a number; new items keep coming


def test_dirt_is_of_the_announced_kinds_and_number(tmp_path: Path) -> None:
    dirt = write_log(tmp_path, SMALL, seed=3)
    listens = read(tmp_path, "flat/50m/listens")
    known = read(tmp_path, "titles")["item_id"]
    assert sum(dirt.values()) == 300
    assert listens["uid"].null_count() == dirt["null_user"] == 50
    assert listens["item_id"].null_count() == dirt["null_item"]
    assert (listens["played_ratio_pct"] > 200).sum() == dirt["absurd_ratio"]
    assert (listens["timestamp"] == FUTURE).sum() == dirt["future"]
    assert listens.filter(~pl.col("item_id").is_in(known.implode())).height == dirt["unknown_item"]
    whole = listens.drop_nulls(["uid", "item_id"])
    assert whole.height - whole.unique(["uid", "timestamp", "item_id"]).height == dirt["duplicate"]
    clean = SMALL.model_copy(update={"dirty": 0.0})
    assert sum(write_log(tmp_path / "clean", clean, seed=3).values()) == 0


def test_every_item_has_a_title_an_album_and_artists(log: Path) -> None:
    titles = read(log, "titles")
    assert len(titles) == titles["item_id"].n_unique() == SMALL.items
    for name in ("artist_item_mapping", "album_item_mapping"):
        assert set(read(log, name)["item_id"]) == set(titles["item_id"])
    assert read(log, "artist_item_mapping").height > SMALL.items
    assert titles["title"].str.contains(r"^[A-Z][a-z]+ [A-Z][a-z]+ - [A-Z][a-z]+ [A-Z][a-z]+( \d+)?$").all()


def test_likes_follow_full_plays_and_dislikes_skips(log: Path) -> None:
    listens = sound(log).with_columns(pl.col("timestamp").cast(pl.Int64))
    for name, low, high in (("likes", 100, 200), ("dislikes", 0, 49)):
        acted = read(log, f"flat/50m/{name}").select("uid", "item_id", then=pl.col("timestamp").cast(pl.Int64))
        heard = acted.join(listens, on=["uid", "item_id"]).filter(
            (pl.col("then") - pl.col("timestamp")).is_between(0, pl.col("track_length_seconds")),
            pl.col("played_ratio_pct").is_between(low, high),
        )
        # All but those of the listens that were spoilt.
        assert heard.select("uid", "item_id", "then").n_unique() > 0.9 * acted.n_unique() > 5


def test_mornings_and_evenings_sound_different(log: Path) -> None:
    artist = read(log, "artist_item_mapping").group_by("item_id").agg(pl.col("artist_id").min())
    heard = sound(log).join(artist, on="item_id").with_columns(evening=pl.col("timestamp") // 3600 % 24 >= 14)
    sets = heard.group_by("uid", "evening").agg(pl.col("artist_id").unique(), pl.len()).filter(pl.col("len") >= 30)
    both = sets.filter(pl.col("evening")).join(sets.filter(~pl.col("evening")), on="uid")
    shared = both.select(pl.col("artist_id").list.set_intersection("artist_id_right").list.len().alias("n"))["n"]
    assert len(both) > 50
    assert shared.sum() < 0.5 * both["artist_id_right"].list.len().sum()


def _sparse(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> sp.csr_matrix:
    counts = sp.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=shape)
    counts.data[:] = 1
    return counts


def test_the_order_of_a_history_says_more_than_its_set_or_popularity(tmp_path: Path) -> None:
    """Hits among the 20 best of three rankings for the last three days, of unseen items."""
    source = SMALL.model_copy(update={"users": 1_000, "items": 6_000, "events": 120_000, "dirty": 0.0})
    write_log(tmp_path, source, seed=1)
    heard = sound(tmp_path).filter(pl.col("played_ratio_pct") >= 50)
    items, item = np.unique(heard["item_id"].to_numpy(), return_inverse=True)
    users, user = np.unique(heard["uid"].to_numpy(), return_inverse=True)
    time = heard["timestamp"].to_numpy()
    train = time < time.max() - 3 * DAY
    seen = _sparse(user[train], item[train], (len(users), len(items)))
    asked = _sparse(user[~train], item[~train], (len(users), len(items)))
    artists = dict(read(tmp_path, "artist_item_mapping").select("item_id", "artist_id").unique("item_id").iter_rows())
    artist = np.array([artists[one] for one in items.tolist()])
    popularity = np.asarray(seen.sum(0)).ravel()
    normed = seen @ sp.diags(1 / np.sqrt(np.maximum(popularity, 1)))
    neighbours = seen @ (normed.T @ normed)
    # What follows: from the artists of the last ten listens to those of the next twenty.
    follow = np.zeros((artist.max() + 1, artist.max() + 1))
    by = artist[item[train]]
    for step in range(1, 21):
        same = user[train][step:] == user[train][:-step]
        np.add.at(follow, (by[:-step][same], by[step:][same]), 1)
    follow /= np.maximum(follow.sum(1, keepdims=True), 1)
    hits = {"popularity": 0, "neighbours": 0, "sequence": 0}
    for one in np.flatnonzero(np.asarray(asked.sum(1)).ravel() * np.asarray(seen.sum(1)).ravel())[:400]:
        last = by[user[train] == one][-10:]
        ahead = follow[last].sum(0)[artist] * (popularity + 0.5)
        scores = {"popularity": popularity, "neighbours": neighbours[one].toarray().ravel(), "sequence": ahead}
        for name, score in scores.items():
            best = np.argsort(-np.where(seen[one].toarray().ravel() > 0, -1.0, score))[:20]
            hits[name] += int(asked[one].toarray().ravel()[best].sum())
    assert hits["sequence"] > 2 * hits["neighbours"], hits
    assert hits["sequence"] > 2 * hits["popularity"], hits


def test_it_is_read_as_yambda_is(tmp_path: Path) -> None:
    recipe = load_recipe(Path(__file__).parents[3] / "recipes/demo.yaml")
    small = recipe.model_copy(update={"source": SMALL})
    result = ingest(small, tmp_path / "tables")
    assert 29_900 <= result.rows_out["events"] <= 30_000  # rows that came out twice by chance are left out
    events, items = (tables.scan(tmp_path / "tables", name).collect() for name in ("events", "items"))  # type: ignore[arg-type]
    assert 0.6 < events["positive"].mean() < 0.95  # type: ignore[operator] # a number
    assert set(recipe.contract.columns) <= set(events.columns)
    assert items["title"].null_count() == 0
    assert items["item_id"].is_sorted()
    assert ingest(small, tmp_path / "again") == result


@pytest.mark.parametrize(("users", "items", "count"), [(1, 1, 1), (1, 50, 200), (50, 1, 200), (500, 30, 20)])
def test_the_smallest_logs(users: int, items: int, count: int, tmp_path: Path) -> None:
    source = {"kind": "synthetic", "users": users, "items": items, "events": count, "days": 2, "dirty": 0.1}
    recipe = Recipe.model_validate({"name": "tiny", "source": source, "split": {"kind": "leave_one_out"}})
    assert ingest(recipe, tmp_path / "tables").rows_out["events"] > 0


def test_with_likes_of_long_tracks_the_listens_stay_and_likes_follow_the_length(tmp_path: Path) -> None:
    clean = SMALL.model_copy(update={"dirty": 0.0})
    write_log(tmp_path / "close", clean, seed=7)
    tmp_path = tmp_path / "long"
    write_log(tmp_path, clean.model_copy(update={"likes": "long"}), seed=7)
    listens = sound(tmp_path)
    liked = read(tmp_path, "flat/50m/likes").select("uid", "item_id").unique().with_columns(liked=True)
    marked = listens.join(liked, on=["uid", "item_id"], how="left").sort("track_length_seconds")
    share = [float(quarter.mean()) for quarter in np.array_split(marked["liked"].is_not_null().to_numpy(), 4)]
    assert share[0] < 0.02
    assert share[3] > 0.3
    assert share == sorted(share)
