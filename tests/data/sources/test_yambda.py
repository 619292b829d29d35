"""Yambda's flat layout: events with feedback that never looks ahead as a feature, and a catalogue from the mappings."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shortlist.data import tables
from shortlist.data.ingest import ingest
from shortlist.data.sources import MissingSourceError, SourceError
from shortlist.data.sources.yambda import LABEL_SECONDS, with_label, with_past
from shortlist.recipe import Recipe

U32, U16, U8 = pl.UInt32, pl.UInt16, pl.UInt8
FEEDBACK = {"uid": U32, "timestamp": U32, "item_id": U32, "is_organic": U8}
LISTENS = {**FEEDBACK, "played_ratio_pct": U16, "track_length_seconds": U32}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    flat = tmp_path / "yambda/flat/50m"
    flat.mkdir(parents=True)
    listens = [
        (1, 1000, 10, 1, 100, 200),
        (1, 2000, 11, 0, 20, 180),
        (1, 9000, 10, 1, 90, 200),
        (2, 500, 12, 1, 100, 150),
        (2, 600, 99, 1, 100, 150),
    ]
    pl.DataFrame(listens, schema=LISTENS, orient="row").write_parquet(flat / "listens.parquet")
    likes = [(1, 1100, 10, 1), (2, 500, 12, 1), (3, 5, 10, 1)]
    pl.DataFrame(likes, schema=FEEDBACK, orient="row").write_parquet(flat / "likes.parquet")
    pl.DataFrame([(1, 2010, 11, 0)], schema=FEEDBACK, orient="row").write_parquet(flat / "dislikes.parquet")
    folder = tmp_path / "yambda"
    artists = pl.DataFrame(
        {"artist_id": [7, 5, 5, 9], "item_id": [10, 10, 11, 77]}, schema_overrides={"artist_id": U32}
    )
    artists.cast({"item_id": U32}).write_parquet(folder / "artist_item_mapping.parquet")
    albums = pl.DataFrame({"album_id": [3, 4], "item_id": [12, 77]}, schema={"album_id": U32, "item_id": U32})
    albums.write_parquet(folder / "album_item_mapping.parquet")
    vectors = pl.DataFrame({"item_id": [77, 10], "embed": [[1.0, 2.0], [3.0, 4.0]]}, schema_overrides={"item_id": U32})
    vectors.with_columns(normalized_embed=pl.col("embed")).write_parquet(folder / "embeddings.parquet")
    titles = pl.DataFrame({"item_id": [10, 11], "title": ["Ten", "Eleven"]}, schema_overrides={"item_id": U32})
    titles.write_parquet(folder / "titles.parquet")
    return folder


def music(log: Path, source: dict[str, object] | None = None, **blocks: object) -> Recipe:
    given = {"kind": "yambda", "path": str(log), **(source or {})}
    return Recipe.model_validate({"name": "music", "source": given, "split": {"kind": "leave_one_out"}, **blocks})


def test_listens_become_events(log: Path, tmp_path: Path) -> None:
    recipe = music(
        log,
        interactions={"positive": "played_ratio_pct >= 50"},
        contract={"columns": {"is_organic": {}}},
        features={"context": {"numeric": ["track_length_seconds"]}},
    )
    ingest(recipe, tmp_path / "tables")
    events = tables.scan(tmp_path / "tables", "events").collect()
    assert events.select("user_id", "item_id", "time", "positive", "is_organic", "track_length_seconds").rows() == [
        (1, 10, 1000, True, 1, 200.0),
        (1, 11, 2000, False, 0, 180.0),
        (1, 10, 9000, True, 1, 200.0),
        (2, 12, 500, True, 1, 150.0),
        (2, 99, 600, True, 1, 150.0),
    ]


def test_the_catalogue_is_what_is_listened_to_and_known_to_a_mapping(log: Path, tmp_path: Path) -> None:
    item = {
        "categorical": [{"name": "artist_id", "max_values": 2}, {"name": "album_id"}],
        "numeric": ["track_length_seconds"],
        "embedding": {"name": "normalized_embed", "dim": 2},
        "title": "title",
    }
    recipe = music(log, source={"embeddings": True}, features={"item": item})
    ingest(recipe, tmp_path / "tables")
    assert tables.scan(tmp_path / "tables", "items").collect().rows() == [
        (10, [5, 7], None, 200.0, [3.0, 4.0], "Ten"),
        (11, [5], None, 180.0, None, "Eleven"),
        (12, None, [3], 150.0, None, None),
    ]


def test_likes_and_dislikes_are_labels_and_past_ones_are_features(log: Path, tmp_path: Path) -> None:
    recipe = music(
        log,
        interactions={
            "positive": "played_ratio_pct >= 50 AND NOT disliked",
            "weight": "CASE WHEN liked THEN 2 ELSE 1 END",
            "history": "played_ratio_pct >= 0",
        },
        features={"context": {"categorical": [{"name": "liked_before"}, {"name": "disliked_before"}]}},
    )
    ingest(recipe, tmp_path / "tables")
    events = tables.scan(tmp_path / "tables", "events").collect()
    assert events["weight"].to_list() == [2, 1, 1, 2, 1]
    assert events["liked_before"].to_list() == [0, 0, 1, 0, 0]
    assert events["disliked_before"].to_list() == [0, 0, 0, 0, 0]
    assert events["positive"].to_list() == [True, False, True, True, True]


_ROWS = st.lists(st.tuples(st.integers(1, 2), st.integers(0, 4 * LABEL_SECONDS), st.integers(1, 2)), max_size=12)


@settings(max_examples=60)
@given(listens=_ROWS, feedback=_ROWS)
def test_label_and_past_say_what_they_say(
    listens: list[tuple[int, int, int]], feedback: list[tuple[int, int, int]]
) -> None:
    names = ["uid", "timestamp", "item_id"]
    heard = pl.LazyFrame(listens, schema=dict.fromkeys(names, U32), orient="row")
    acted = pl.LazyFrame(feedback, schema=dict.fromkeys(names, U32), orient="row")
    found = with_past(with_label(heard, acted, "liked"), acted, "liked_before").collect()
    assert found.select(names).rows() == listens
    for (user, time, item), liked, before in zip(listens, found["liked"], found["liked_before"], strict=True):
        times = [then for who, then, what in feedback if (who, what) == (user, item)]
        assert liked == any(time <= then <= time + LABEL_SECONDS for then in times)
        assert before == any(then < time for then in times)


@pytest.mark.parametrize(
    ("blocks", "said"),
    [
        (
            {"features": {"context": {"categorical": [{"name": "liked"}]}}},
            "features.context.categorical.0: 'liked' looks 30 minutes ahead and cannot be a feature; "
            "use 'liked_before'",
        ),
        (
            {"interactions": {"history": "NOT disliked"}},
            "interactions.history: 'disliked' looks 30 minutes ahead",
        ),
        ({"interactions": {"positive": "liked"}}, "interactions.history: 'liked' looks 30 minutes ahead"),
    ],
)
def test_a_label_never_becomes_an_input(blocks: dict[str, object], said: str, log: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        ingest(music(log, **blocks), tmp_path / "tables")
    assert str(caught.value).startswith(said)


def test_feedback_that_is_not_there_or_not_wanted(log: Path, tmp_path: Path) -> None:
    weight = {"interactions": {"weight": "CASE WHEN liked THEN 2 ELSE 1 END"}}
    with pytest.raises(SourceError, match=r"names liked or liked_before, but source\.feedback is false"):
        ingest(music(log, source={"feedback": False}, **weight), tmp_path / "tables")
    (log / "flat/50m/likes.parquet").unlink()
    with pytest.raises(SourceError, match=r"but there is no flat/50m/likes\.parquet"):
        ingest(music(log, **weight), tmp_path / "tables")
    assert ingest(music(log), tmp_path / "tables").rows_out["events"] == 5


def test_what_may_and_what_may_not_be_missing(log: Path, tmp_path: Path) -> None:
    item = {"embedding": {"name": "embed", "dim": 2}}
    with pytest.raises(SourceError, match=r"features\.item\.embedding: .*: source\.embeddings is false"):
        ingest(music(log, features={"item": item}), tmp_path / "tables")
    for name in ("artist_item_mapping", "album_item_mapping", "titles", "embeddings"):
        (log / f"{name}.parquet").unlink()
    assert ingest(music(log), tmp_path / "tables").rows_out == {"events": 5, "items": 4, "users": 2}
    with pytest.raises(MissingSourceError, match=r"there is no flat/500m/listens\.parquet"):
        ingest(music(log, source={"size": "500m"}), tmp_path / "tables")


def test_a_listens_file_of_another_shape_names_the_column(log: Path, tmp_path: Path) -> None:
    listens = log / "flat/50m/listens.parquet"
    pl.read_parquet(listens).rename({"uid": "user"}).write_parquet(listens)
    with pytest.raises(SourceError, match=r"listens\.parquet has no column 'uid'.* It has: user, timestamp, item_id"):
        ingest(music(log), tmp_path / "tables")
