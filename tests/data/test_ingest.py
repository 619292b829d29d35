"""Ingest: canonical tables from any files, complete or not at all."""

import gzip
import multiprocessing
import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tiny_disk import tiny_disk

from shortlist.data import tables
from shortlist.data.ingest import ingest
from shortlist.data.sources import SourceError
from shortlist.recipe import Recipe, parse_recipe

EVENTS = "user,item,at,rating,device\n7,x,100,5,tv\n8,y,200,2,\n7,y,bad,4,phone\n"
SPLIT = {"kind": "leave_one_out"}


def shop(folder: Path, **blocks: object) -> Recipe:
    """A recipe over `events.csv` in the folder."""
    (folder / "events.csv").exists() or (folder / "events.csv").write_text(EVENTS)
    events = {"path": str(folder / "events.csv"), "columns": {"user_id": "user", "item_id": "item", "time": "at"}}
    source = {"kind": "files", "events": [events], **blocks.pop("source", {})}  # type: ignore[dict-item] # a dict
    return Recipe.model_validate({"name": "shop", "source": source, "split": SPLIT, **blocks})


def refusal(recipe: Recipe, out: Path) -> str:
    with pytest.raises((SourceError, tables.FullDiskError)) as caught:
        ingest(recipe, out)
    assert not out.exists()
    assert [file.name for file in out.parent.iterdir() if file.name.startswith(".")] == []
    return str(caught.value)


def events_of(recipe: Recipe, out: Path) -> pl.DataFrame:
    ingest(recipe, out)
    return tables.scan(out, "events").collect()


def test_events_have_the_canonical_columns_types_and_order(tmp_path: Path) -> None:
    recipe = shop(
        tmp_path,
        interactions={"positive": "rating >= 4", "weight": "rating / 5.0", "history": "rating >= 2"},
        contract={"columns": {"rating": {"min": 1}, "time": {"min": 0}}},
        features={"context": {"categorical": [{"name": "device"}]}},
    )
    result = ingest(recipe, tmp_path / "tables")
    events = tables.scan(tmp_path / "tables", "events").collect()
    assert dict(events.schema) == {
        "user_id": pl.Int64,
        "item_id": pl.String,
        "time": pl.Int64,
        "time_as_read": pl.String,
        "positive": pl.Boolean,
        "in_history": pl.Boolean,
        "weight": pl.Float32,
        "rating": pl.Int64,
        "device": pl.String,
    }
    assert events["time_as_read"].to_list()[:2] == [None, None]
    assert events.drop("weight", "time_as_read").rows() == [
        (7, "x", 100, True, True, 5, "tv"),
        (8, "y", 200, False, True, 2, None),
        (7, "y", None, True, True, 4, "phone"),
    ]
    assert events["weight"].round(4).to_list() == pytest.approx([1.0, 0.4, 0.8])
    assert result.rows_out == {"events": 3, "items": 2, "users": 2}
    assert result.details["columns"]["events"]["weight"] == "Float32"
    [file] = result.details["files"]
    assert file["name"].endswith("events.csv")
    assert len(result.details["fingerprint"]) == 64


def test_without_their_tables_users_and_items_are_those_of_the_events(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text(EVENTS + ",,300,1,\n")
    ingest(shop(tmp_path), tmp_path / "tables")
    assert tables.scan(tmp_path / "tables", "items").collect().rows() == [("x",), ("y",)]
    assert tables.scan(tmp_path / "tables", "users").collect().rows() == [(7,), (8,)]


def test_what_an_expression_cannot_decide_is_no_positive(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("user,item,at,rating\n1,2,3,\n1,2,3,5\n")
    events = events_of(shop(tmp_path, interactions={"positive": "rating >= 4"}), tmp_path / "tables")
    assert events["positive"].to_list() == events["in_history"].to_list() == [False, True]


def test_item_and_user_columns_have_the_types_of_their_features(tmp_path: Path) -> None:
    (tmp_path / "items.jsonl").write_text(
        '{"id": "x", "tags": ["a", "b"], "price": "3", "brand": 5, "text": [1, 0.5], "name": "X"}\n'
        '{"id": "y", "tags": [], "price": "?", "brand": null, "text": null, "name": "Y", "other": 1}\n'
    )
    (tmp_path / "users.csv").write_text("user_id,age\n7,30\n8,\n")
    item = {
        "categorical": [{"name": "tags", "max_values": 2}, {"name": "brand"}],
        "numeric": ["price"],
        "embedding": {"name": "text", "dim": 2},
        "title": "name",
    }
    recipe = shop(
        tmp_path,
        source={
            "items": {"path": str(tmp_path / "items.jsonl"), "columns": {"item_id": "id"}},
            "users": {"path": str(tmp_path / "users.csv")},
        },
        features={"item": item, "user": {"numeric": ["age"]}},
    )
    ingest(recipe, tmp_path / "tables")
    items = tables.scan(tmp_path / "tables", "items").collect()
    assert items.rows() == [("x", ["a", "b"], 5, 3.0, [1.0, 0.5], "X"), ("y", [], None, None, None, "Y")]
    assert items.schema["text"] == pl.List(pl.Float32)
    assert items.schema["price"] == pl.Float64
    assert tables.scan(tmp_path / "tables", "users").collect().rows() == [(7, 30.0), (8, None)]


def test_items_come_and_go_at_times_like_those_of_the_events(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("id,since,gone\nx,2024-03-01T12:30:00Z,\ny,,1709296200000\nz,soon,never\n")
    columns = {"item_id": "id", "available_from": "since", "available_until": "gone"}
    source = {"items": {"path": str(tmp_path / "items.csv"), "columns": columns}}
    ingest(shop(tmp_path, source=source, interactions={"time_unit": "ms"}), tmp_path / "tables")
    items, noon = tables.scan(tmp_path / "tables", "items").collect(), 1_709_296_200
    assert items.schema["available_from"] == items.schema["available_until"] == pl.Int64
    assert items.rows() == [("x", noon, None), ("y", None, noon), ("z", tables.UNREADABLE, tables.UNREADABLE)]


def test_without_times_items_neither_come_nor_go(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item_id,available_from\nx,5\n")
    source = {"items": {"path": str(tmp_path / "items.csv")}}
    ingest(shop(tmp_path, source=source, interactions={"time_unit": "row"}), tmp_path / "tables")
    assert tables.scan(tmp_path / "tables", "items").collect().columns == ["item_id"]
    source["items"]["columns"] = {"available_until": "available_from"}  # type: ignore[assignment] # a dict of texts
    with pytest.raises(ValueError, match=r"source.items.columns.available_until needs times; .*'row': remove it"):
        shop(tmp_path, source=source, interactions={"time_unit": "row"})


def test_ids_are_text_everywhere_when_they_are_text_anywhere(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item_id\n1\nb\n")
    (tmp_path / "events.csv").write_text("user,item,at\n7.0,1,5\n,2,6\n")
    recipe = shop(tmp_path, source={"items": {"path": str(tmp_path / "items.csv")}})
    events = events_of(recipe, tmp_path / "tables")
    assert events["item_id"].to_list() == ["1", "2"]
    assert events["user_id"].to_list() == [7, None]
    assert tables.scan(tmp_path / "tables", "items").collect()["item_id"].to_list() == ["1", "b"]


@pytest.mark.parametrize(("unit", "per_second"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
def test_times_become_seconds_rounded_down(unit: str, per_second: int, tmp_path: Path) -> None:
    times = [3 * per_second, 4 * per_second - 1, -1]
    frame = pl.DataFrame({"user_id": [1, 1, 1], "item_id": [1, 2, 3], "time": times})
    frame.write_parquet(tmp_path / "events.parquet")
    source = {"events": [{"path": str(tmp_path / "events.parquet")}]}
    events = events_of(shop(tmp_path, source=source, interactions={"time_unit": unit}), tmp_path / "tables")
    assert events["time"].to_list() == [3, 3, -1]


def test_dates_and_iso_texts_are_times(tmp_path: Path) -> None:
    moments = [datetime(2024, 3, 1, 12, 30, tzinfo=UTC), None]
    frame = pl.DataFrame({"user_id": [1, 1], "item_id": [1, 2], "time": moments})
    frame = frame.with_columns(pl.col("time").dt.convert_time_zone("Asia/Tokyo"))
    frame.write_parquet(tmp_path / "a.parquet")
    texts = "2024-03-01 12:30:00\n2024-03-01T12:30:00Z\n2024-03-01T12:30:00.5\n2024-03-01\n1709296200\nsoon\n"
    (tmp_path / "b.csv").write_text(
        "user_id,item_id,time\n" + "".join(f"1,2,{text}\n" for text in texts.split("\n") if text)
    )
    source = {"events": [{"path": str(tmp_path / "a.parquet")}, {"path": str(tmp_path / "b.csv")}]}
    events = events_of(shop(tmp_path, source=source), tmp_path / "tables")
    noon = 1_709_296_200
    assert events["time"].to_list() == [noon, None, noon, noon, noon, noon - 45_000, noon, None]


def test_rows_are_numbered_over_all_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("user_id,item_id\n1,2\n1,3\n")
    source = {"events": [{"path": str(tmp_path / "b.csv")}, {"path": str(tmp_path / "a.csv")}]}
    events = events_of(shop(tmp_path, source=source, interactions={"time_unit": "row"}), tmp_path / "tables")
    assert events.columns[:3] == ["user_id", "item_id", "time"]
    assert events["time"].to_list() == [0, 1, 2, 3]


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    recipe = shop(tmp_path, interactions={"positive": "rating >= 4"})
    first, second = ingest(recipe, tmp_path / "one"), ingest(recipe, tmp_path / "two")
    assert first == second
    for table in ("events", "items", "users"):
        assert (tmp_path / f"one/{table}.parquet").read_bytes() == (tmp_path / f"two/{table}.parquet").read_bytes()
    (tmp_path / "events.csv").write_text(EVENTS + "1,z,9,1,\n")
    assert ingest(recipe, tmp_path / "three").details["fingerprint"] != first.details["fingerprint"]


@pytest.mark.parametrize(
    ("blocks", "said"),
    [
        (
            {"interactions": {"positive": "raiting >= 4"}},
            "interactions.positive: {events} has no column 'raiting'; did you mean 'rating'? It has: user, item, at",
        ),
        (
            {"interactions": {"positive": "rating"}},
            "interactions.positive: 'rating' gives Int64, not TRUE or FALSE; write a comparison",
        ),
        (
            {"contract": {"columns": {"price": {}}}},
            "contract.columns.price: {events} has no column 'price'",
        ),
        (
            {"features": {"context": {"categorical": [{"name": "divice"}]}}},
            "features.context.categorical.0: {events} has no column 'divice'; did you mean 'device'?",
        ),
        (
            {"features": {"item": {"numeric": ["price"]}}},
            "features.item.numeric.0: 'price' needs a table of items; add source.items",
        ),
        (
            {"interactions": {"weight": "CAST(device AS DOUBLE)"}},
            "{events}: conversion from `str` to `f64` failed in column 'device'",
        ),
    ],
)
def test_a_recipe_that_does_not_fit_the_data(blocks: dict[str, object], said: str, tmp_path: Path) -> None:
    message = refusal(shop(tmp_path, **blocks), tmp_path / "tables")
    assert message.startswith(said.format(events=tmp_path / "events.csv"))


def test_a_file_without_the_needed_columns_says_how_to_give_them(tmp_path: Path) -> None:
    recipe = shop(tmp_path, source={"events": [{"path": str(tmp_path / "events.csv"), "columns": {"user_id": "user"}}]})
    message = refusal(recipe, tmp_path / "tables")
    assert "source.events.0.columns: " in message
    assert "gives no 'item_id'; add `item_id: <expression>`. It has: user, item, at" in message


def test_a_bad_expression_among_the_columns_names_its_place(tmp_path: Path) -> None:
    columns = {"user_id": "user", "item_id": "itm", "time": "at"}
    recipe = shop(tmp_path, source={"events": [{"path": str(tmp_path / "events.csv"), "columns": columns}]})
    said = "source.events.0.columns.item_id: "
    assert refusal(recipe, tmp_path / "tables").startswith(said)


def test_a_header_without_rows(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("user,item,at\n")
    message = refusal(shop(tmp_path), tmp_path / "tables")
    assert message == f"{tmp_path}/events.csv: there are no rows"


def test_a_damaged_parquet_is_named_among_many(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    for name in ("a", "b", "c"):
        frame = pl.DataFrame({"user_id": range(50_000), "item_id": range(50_000), "time": range(50_000)})
        frame.write_parquet(logs / f"{name}.parquet")
    data = bytearray((logs / "b.parquet").read_bytes())
    data[1000 : len(data) // 2] = bytes(len(data) // 2 - 1000)
    (logs / "b.parquet").write_bytes(data)
    message = refusal(shop(tmp_path, source={"events": [{"path": str(logs)}]}), tmp_path / "tables")
    assert message.startswith(f"{logs}/b.parquet: its data is damaged")


def test_a_failure_leaves_what_was_there_and_a_success_replaces_it(tmp_path: Path) -> None:
    out = tmp_path / "work" / "tables"
    ingest(shop(tmp_path), out)
    (out / "from-before").write_text("x")
    (tmp_path / "events.csv").write_text("user,item,at\n1,2\n")
    with pytest.raises(SourceError, match="line 2 has 2 fields"):
        ingest(shop(tmp_path), out)
    assert (out / "from-before").exists()
    assert tables.scan(out, "events").collect().height == 3
    (tmp_path / "events.csv").write_text("user,item,at\n1,2,3\n")
    ingest(shop(tmp_path), out)
    assert sorted(file.name for file in out.iterdir()) == ["events.parquet", "items.parquet", "users.parquet"]
    assert [file.name for file in out.parent.iterdir()] == ["tables"]


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({"user_id": rng.integers(0, 2**62, 200_000), "item_id": 1, "time": 1})
    frame.write_parquet(tmp_path / "events.parquet")
    recipe = shop(tmp_path, source={"events": [{"path": str(tmp_path / "events.parquet")}]})
    with tiny_disk(tmp_path / "disk") as disk:
        message = refusal(recipe, disk / "tables")
        assert message == (
            f"{disk}/tables: the disk is full; nothing was written there. Free some space or choose another folder"
        )
        assert list(disk.iterdir()) == []


def test_a_disk_that_fills_while_a_file_is_unpacked(tmp_path: Path) -> None:
    (tmp_path / "events.csv.gz").write_bytes(gzip.compress(b"user_id,item_id,time\n" + b"1,2,3\n" * 1_000_000))
    recipe = shop(tmp_path, source={"events": [{"path": str(tmp_path / "events.csv.gz")}]})
    with tiny_disk(tmp_path / "disk") as disk:
        assert "the disk is full" in refusal(recipe, disk / "tables")
        assert list(disk.iterdir()) == []


def _peak_mb(recipe: Recipe, out: Path, sender: object) -> None:
    ingest(recipe, out)
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert peak is not None
    sender.send(int(peak[1]) / 1024)  # type: ignore[attr-defined] # a connection


def test_memory_is_bounded_by_the_recipe_and_not_by_the_file(tmp_path: Path) -> None:
    peaks = []
    for count in (1_000_000, 6_000_000):
        folder = tmp_path / str(count)
        folder.mkdir()
        many = np.random.default_rng(0).integers(0, 2**40, count)
        frame = pl.DataFrame({"user_id": many % 1000, "item_id": many % 999, "time": many, "other": many})
        frame.write_parquet(folder / "events.parquet", compression="lz4")
        source = {"events": [{"path": str(folder / "events.parquet")}]}
        recipe = shop(folder, source=source, resources={"memory_gb": 0.5})
        context = multiprocessing.get_context("spawn")
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=_peak_mb, args=(recipe, folder / "tables", sender))
        child.start()
        sender.close()
        peaks.append(receiver.recv())
        child.join()
    # Five million rows more are 160 MB of numbers.
    assert peaks[1] - peaks[0] < 80, peaks


@pytest.mark.data
def test_movielens_100k(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHORTLIST_DATA", str(data))
    text = (Path(__file__).parents[2] / "recipes/movielens.yaml").read_text()
    result = ingest(parse_recipe(text), tmp_path / "tables")
    assert result.rows_out == {"events": 100_000, "items": 1_682, "users": 943}
    events = tables.scan(tmp_path / "tables", "events").collect()
    assert events.null_count().sum_horizontal().item() == 0
    assert events["positive"].sum() == 55_375
    film = tables.scan(tmp_path / "tables", "items").filter(pl.col("item_id") == 1).collect().row(0, named=True)
    assert film == {
        "item_id": 1,
        "available_from": 0,
        "genres": ["Animation", "Children", "Comedy"],
        "year": 1995.0,
        "title": "Toy Story (1995)",
    }


@pytest.mark.data
def test_movielens_1m(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHORTLIST_DATA", str(data))
    text = (Path(__file__).parents[2] / "recipes/movielens-1m.yaml").read_text()
    result = ingest(parse_recipe(text), tmp_path / "tables")
    assert result.rows_out == {"events": 1_000_209, "items": 3_883, "users": 6_040}
    events = tables.scan(tmp_path / "tables", "events").collect()
    assert events.null_count().sum_horizontal().item() == 0
    last = events.filter(pl.col("user_id") == 1).sort("time").row(-1)
    assert last[:2] == (1, 48)
    titles = tables.scan(tmp_path / "tables", "items").collect()["title"]
    assert titles.str.contains("é").any()
    assert not titles.str.contains("\ufffd").any()


def lists(folder: Path, **settings: object) -> Recipe:
    """A recipe over one line a user: the user, then items."""
    (folder / "lists.csv").write_text("7 10 11 12\n8 11\n9 \n")
    columns = {
        "user_id": "CAST(SPLIT_PART(column_1, ' ', 1) AS BIGINT)",
        "item_id": "STRING_TO_ARRAY(REGEXP_REPLACE(column_1, '^\\d+ ', ''), ' ')",
        "part": "CASE WHEN SPLIT_PART(column_1, ' ', 1) = '7' THEN 'train' ELSE 'test' END",
    }
    file = {"path": str(folder / "lists.csv"), "header": False, "separator": "\t", "columns": columns, **settings}
    source = {"kind": "files", "events": [file]}
    interactions = {"ordered": False, "time_unit": "row"}
    split, retrieval = {"kind": "given", "valid": 0.5}, {"positions": "leave_one_out", "encoder": "mean"}
    return Recipe.model_validate(
        {"name": "lists", "source": source, "interactions": interactions, "split": split, "retrieval": retrieval}
    )


def test_every_entry_of_a_list_becomes_an_event_with_its_part(tmp_path: Path) -> None:
    events = events_of(lists(tmp_path, explode="item_id"), tmp_path / "tables")
    found = events.select("user_id", "item_id", "time", "part").rows()
    assert found[:4] == [(7, "10", 0, "train"), (7, "11", 1, "train"), (7, "12", 2, "train"), (8, "11", 3, "test")]


def test_a_column_to_explode_that_is_missing_or_no_list(tmp_path: Path) -> None:
    said = refusal(lists(tmp_path, explode="items"), tmp_path / "tables")
    assert "source.events.0.explode" in said
    assert "no column 'items'; did you mean 'item_id'?" in said
    assert "'user_id' of" in refusal(lists(tmp_path, explode="user_id"), tmp_path / "tables")


def joined(folder: Path, other: str, by: str = "code") -> Recipe:
    (folder / "texts.csv").write_text("asin,words\nB,bolt\nA,adhesive\nC,clamp\nA,again\n")
    (folder / "numbers.csv").write_text(other)
    items = {
        "path": str(folder / "texts.csv"),
        "columns": {"code": "asin", "words": "words"},
        "distinct": True,
        "join": {"path": str(folder / "numbers.csv"), "columns": {"code": "key", "item_id": "number"}, "by": by},
    }
    return shop(folder, source={"items": items}, features={"item": {"title": "words"}})


def test_a_second_file_gives_the_ids_that_the_events_use(tmp_path: Path) -> None:
    recipe = joined(tmp_path, "key,number\nA,x\nB,y\nB,z\n")
    ingest(recipe, tmp_path / "tables")
    # C has no number: the contract will say so. A is there twice, and the first row counts.
    rows = tables.scan(tmp_path / "tables", "items").collect().rows()
    assert rows == [("y", "bolt"), ("x", "adhesive"), (None, "clamp")]


def test_files_that_cannot_be_joined(tmp_path: Path) -> None:
    said = refusal(joined(tmp_path, "key,number\nA,x\n", by="cod"), tmp_path / "tables")
    assert "source.items.join.by" in said
    assert "did you mean 'code'?" in said
    said = refusal(joined(tmp_path, "key,number\ntrue,x\n"), tmp_path / "tables")
    assert "source.items.join.by" in said
    assert "CAST one of the two" in said


def test_files_are_joined_by_the_digits_of_their_keys(tmp_path: Path) -> None:
    recipe = joined(tmp_path, "key,number\n7,x\n8,y\n")
    (tmp_path / "texts.csv").write_text("asin,words\n8,bolt\n7,adhesive\nB1,clamp\n")
    ingest(recipe, tmp_path / "tables")
    rows = tables.scan(tmp_path / "tables", "items").collect().rows()
    assert rows == [("y", "bolt"), ("x", "adhesive"), (None, "clamp")]
    (tmp_path / "texts.csv").write_text("asin,words\n8,bolt\n007,adhesive\nB1,clamp\n")
    assert "has the text '007' and" in refusal(recipe, tmp_path / "tables2")


@pytest.mark.parametrize("kind", ["numeric", "categorical"])
def test_a_column_of_bytes_is_named_with_its_type(kind: str, tmp_path: Path) -> None:
    frame = pl.DataFrame({"item_id": ["x", "y"], "hash": [b"\xff\xfe", b"a"]})
    frame.write_parquet(tmp_path / "items.parquet")
    column = "hash" if kind == "numeric" else {"name": "hash"}
    recipe = shop(
        tmp_path,
        source={"items": {"path": str(tmp_path / "items.parquet")}},
        features={"item": {kind: [column]}},
    )
    message = refusal(recipe, tmp_path / "tables")
    assert f"features.item.{kind}.0: " in message
    assert "items.parquet" in message
    assert "a column of Binary" in message


def test_a_time_of_day_is_no_time(tmp_path: Path) -> None:
    frame = pl.DataFrame({"user_id": [1], "item_id": [1], "time": [datetime(2024, 1, 1, 12).time()]})
    frame.write_parquet(tmp_path / "events.parquet")
    recipe = shop(tmp_path, source={"events": [{"path": str(tmp_path / "events.parquet")}]})
    assert "'time' Time is not a type of times" in refusal(recipe, tmp_path / "tables")


def test_tables_lie_in_folders_of_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "we[1]rd *? d\u00e9 {a} %20"
    folder.mkdir()
    assert events_of(shop(folder), folder / "tables")["item_id"].to_list() == ["x", "y", "y"]
