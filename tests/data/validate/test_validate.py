"""Validation: which rows are sound, what becomes of the others, and when the run stops."""

import errno
import json
import socket
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from great_expectations import expectations as gxe
from hypothesis import given, settings
from hypothesis import strategies as st

from shortlist.data.tables import UNREADABLE, FullDiskError
from shortlist.data.validate import DataError, rows, validate
from shortlist.data.validate.duplicates import Duplicates
from shortlist.data.validate.rows import check_rows
from shortlist.data.validate.rules import event_rules
from shortlist.data.validate.suite import Suite
from shortlist.recipe import Recipe, parse_recipe
from shortlist.recipe.yaml_text import load_yaml
from shortlist.step_result import StepResult

_BASE = 1_700_000_000
_RECIPE = """
name: test
source: {{kind: files, events: [{{path: events.parquet}}], items: {{path: items.parquet}}}}
split: {{kind: leave_one_out}}
contract: {contract}
interactions: {{time_unit: {unit}}}
features: {features}
"""


def recipe(contract: str = "", features: str = "{}", unit: str = "s") -> Recipe:
    """`contract` overrides what is lenient here."""
    lenient = {"latest": "2024-01-01", "max_quarantined": 1.0, "min_rows": 1}
    strict = lenient | (load_yaml(f"{{{contract}}}") or {})
    return parse_recipe(_RECIPE.format(contract=json.dumps(strict), features=features, unit=unit))


def events(rows: int = 12, **columns: Any) -> pl.DataFrame:
    """Sound events of 3 users and 4 items, a minute apart; `columns` replace or add."""
    at = np.arange(rows)
    frame = pl.DataFrame(
        {
            "user_id": at % 3,
            "item_id": at % 4,
            "time": _BASE + 60 * at,
            "positive": at % 2 == 0,
            "in_history": at % 2 == 0,
            "weight": np.ones(rows, np.float32),
        }
    )
    given = {name: column if isinstance(column, pl.Series) else pl.Series(column) for name, column in columns.items()}
    typed = {
        name: column.cast(frame.schema[name]) if name in ("time", "weight") else column
        for name, column in given.items()
    }
    return frame.with_columns(**typed)


class Folders:
    """The tables of one run and what validation made of them."""

    def __init__(self, root: Path) -> None:
        self.tables, self.clean, self.quarantine = root / "tables", root / "clean", root / "quarantine"
        self.docs = root / "docs" / "data.html"
        self.tables.mkdir()

    def run(self, recipe: Recipe, events: pl.DataFrame, items: pl.DataFrame | None = None) -> StepResult:
        events.write_parquet(self.tables / "events.parquet")
        known = events.select("item_id").unique(maintain_order=True).drop_nulls() if items is None else items
        known.write_parquet(self.tables / "items.parquet")
        users = events.select("user_id").unique(maintain_order=True).drop_nulls()
        users.write_parquet(self.tables / "users.parquet")
        return validate(recipe, self.tables, self.clean, self.quarantine, self.docs)

    def reasons(self, table: str = "events") -> dict[int, list[str]]:
        bad = pl.read_parquet(self.quarantine / f"{table}.parquet")
        return dict(bad.select("row", "reason").iter_rows())


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


def test_sound_tables_pass_unchanged(folders: Folders) -> None:
    given = events(context=pl.Series([["a", "b"], None, ["c"]] * 4), note=["x"] * 12)
    result = folders.run(recipe(), given)
    assert pl.read_parquet(folders.clean / "events.parquet").equals(given)
    assert pl.read_parquet(folders.clean / "events.parquet").schema == given.schema
    assert pl.read_parquet(folders.clean / "users.parquet").height == 3
    assert pl.read_parquet(folders.quarantine / "events.parquet").height == 0
    assert [path.name for path in folders.quarantine.iterdir()] == ["events.parquet"]
    assert result.rows_in == {"events": 12, "items": 4, "users": 3}
    assert result.metrics["quarantined_share"] == 0.0
    assert result.details["events_per_user"] == [{"from": 4, "to": 7, "count": 3}]
    assert result.details["events_per_item"] == [{"from": 2, "to": 3, "count": 4}]
    assert result.details["events_per_day"] == {"days_per_point": 1, "first_day": "2023-11-14", "events": [12]}


def test_every_bad_row_is_kept_with_its_reasons(folders: Folders) -> None:
    good = [1.0, 1.0, 1.0]
    minutes = [_BASE + 60 * at for at in range(15)]
    given = events(
        15,
        user_id=[None, *[at % 3 for at in range(1, 15)]],
        item_id=[0, None, 99, *[at % 4 for at in range(3, 15)]],
        time=[*minutes[:3], None, 2_000_000_000, 10, *minutes[6:]],
        weight=[*good, *good, float("nan"), float("inf"), -1.0, None, 1.0, 1.0, *good],
        ratio=[*[50] * 10, 101, None, 0, 0, 100],
        place=[*["home"] * 11, "moon", *["work"] * 3],
    )
    rules = "earliest: '2000-01-01', columns: {ratio: {min: 0, max: 100}, place: {allowed: [home, work]}}"
    items = pl.DataFrame({"item_id": [0, 1, 2, 3]})
    # Row 15 repeats row 8, whose weight is negative: the first of equal events is the event, sound or not.
    result = folders.run(recipe(rules), given.vstack(given[8]), items)
    assert folders.reasons() == {
        0: ["user_id is missing or cannot be read"],
        1: ["item_id is missing or cannot be read"],
        2: ["item_id is not in the items table"],
        3: ["time is missing or cannot be read"],
        4: ["time is after 2024-01-01"],
        5: ["time is before 2000-01-01"],
        6: ["weight is missing or not a number"],
        7: ["weight is negative or infinite"],
        8: ["weight is negative or infinite"],
        9: ["weight is missing or not a number"],
        10: ["ratio is not in 0..100"],
        11: ["ratio is missing or cannot be read", "place is not one of home, work"],
        15: ["weight is negative or infinite", "a row before has the same user_id, item_id, time"],
    }
    failed = {rule["rule"]: rule["failed"] for rule in result.details["rules"] if rule["table"] == "events"}
    assert failed["weight is negative or infinite"] == 3
    nulls = {column["column"]: column for column in result.details["columns"] if column["table"] == "events"}
    assert nulls["weight"] == {"table": "events", "column": "weight", "null_share": 1 / 16, "not_finite": 2}


@pytest.mark.parametrize("memory_gb", [4.0, 1e-6])
def test_text_ids_have_a_length_and_chunks_change_nothing(
    folders: Folders, memory_gb: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "_MIN_CHUNK_ROWS", 5)
    users = pl.Series(["anna", "é" * 128, "é" * 129, "", "bob", "bob"] * 2)
    given = events(user_id=users, item_id=pl.Series(["x", "y"] * 6)).vstack(
        events(user_id=users, item_id=pl.Series(["x", "y"] * 6))
    )
    text = recipe().model_copy(update={"resources": recipe().resources.model_copy(update={"memory_gb": memory_gb})})
    folders.run(text, given)
    wrong = "user_id is empty or longer than 256 bytes"
    twice = "a row before has the same user_id, item_id, time"
    expected = {at: [wrong] for at in range(12) if at % 6 in (2, 3)}
    expected |= {at: [wrong, twice] if at % 6 in (2, 3) else [twice] for at in range(12, 24)}
    assert folders.reasons() == expected


def test_a_full_disk_leaves_nothing_half_written(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(pq.ParquetWriter):
        def write_table(self, *_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(rows.pq, "ParquetWriter", Full)
    with pytest.raises(FullDiskError, match=r"clean: the disk is full"):
        folders.run(recipe(), events())
    assert [path.name for path in folders.tables.parent.iterdir()] == ["tables"]


def test_times_need_no_order_and_row_numbers_are_no_times(folders: Folders) -> None:
    backwards = events(time=[_BASE - 60 * at for at in range(12)])
    assert folders.run(recipe(), backwards).rows_out["events"] == 12
    numbered = events(time=range(12))
    result = folders.run(recipe("earliest: '2020-01-01'", unit="row"), numbered)
    assert result.rows_out["events"] == 12
    assert "events_per_day" not in result.details


def test_items_that_end_before_they_begin_or_at_no_time_are_quarantined(folders: Folders) -> None:
    items = pl.DataFrame(
        {
            "item_id": [0, 1, 2, 3, 4],
            "available_from": [None, 5, 9, UNREADABLE, 5],
            "available_until": [7, 5, 8, 9, UNREADABLE],
        }
    )
    folders.run(recipe(), events(), items)
    assert folders.reasons("items") == {
        2: ["available_until is before available_from"],
        3: ["available_from cannot be read as a time"],
        4: ["available_until cannot be read as a time"],
    }


def test_items_without_a_sound_embedding_are_quarantined_and_their_events_stay(folders: Folders) -> None:
    vectors = pl.Series(
        [[1.0, 2.0], [1.0], [1.0, float("nan")], [1.0, None], None, [3.0, 4.0]], dtype=pl.List(pl.Float32)
    )
    items = pl.DataFrame({"item_id": [0, 1, 2, 3, 4, 4], "audio": vectors, "length": [1.0, np.nan, np.inf, None, 2, 2]})
    result = folders.run(
        recipe(features="{item: {embedding: {name: audio, dim: 2}, numeric: [length]}}"), events(), items
    )
    assert folders.reasons("items") == {
        1: ["audio has not the length 2 of features.item.embedding.dim"],
        2: ["audio holds NaN, infinity or null"],
        3: ["audio holds NaN, infinity or null"],
        5: ["a row before has the same item_id"],
    }
    # No embedding at all, and numbers that are not finite, are missing values and no faults.
    assert pl.read_parquet(folders.clean / "items.parquet")["item_id"].to_list() == [0, 4]
    assert result.rows_out["events"] == 12
    length = next(column for column in result.details["columns"] if column["column"] == "length")
    assert (length["not_finite"], length["null_share"]) == (2, 1 / 6)


@pytest.mark.parametrize(
    ("given", "contract", "says"),
    [
        (events(user_id=[7] * 12), "", ["contract.min_users: 1 users, at least 2", "source.events.columns.user_id"]),
        (events(item_id=[7] * 12), "", ["contract.min_items: 1 items, at least 2", "source.events.columns.item_id"]),
        (events(), "min_rows: 13", ["contract.min_rows: 12 valid events, at least 13"]),
        (events(), "max_rows: 11", ["contract.max_rows: 12 events were read, at most 11"]),
        (events(positive=[False] * 12), "", ["no event satisfies 'TRUE'"]),
        (events(0), "", ["the source has no events"]),
        (
            events(weight=[-1.0] * 12),
            "max_quarantined: 0.05",
            [
                "100 % of 12 events",
                "at most 5 %",
                "weight is negative or infinite (12 times; first in row 0: user_id=0",
            ],
        ),
        (
            events(time=[1000 * (_BASE + 60 * at) for at in range(12)]),
            "max_quarantined: 0.05",
            ["look like milliseconds, not seconds", "2023-11-14", "interactions.time_unit: ms", "12 times"],
        ),
        (events(user_id=[float(at) for at in range(12)]), "", ["source.events.columns.user_id", "Float64", "Int64 or"]),
        (events().drop("weight"), "", ["source.events.columns.weight: the column is missing"]),
        (events(reason=["x"] * 12), "", ["'reason'", "rename"]),
        (events(), "columns: {wieght: {min: 0}}", ["contract.columns.wieght", "did you mean 'weight'?"]),
        (events(place=["x"] * 12), "columns: {place: {min: 0}}", ["contract.columns.place", "need numbers"]),
        (events(), "columns: {weight: {allowed: [a]}}", ["contract.columns.weight.allowed"]),
    ],
)
def test_what_stops_the_run_says_what_to_do(
    folders: Folders, given: pl.DataFrame, contract: str, says: list[str]
) -> None:
    with pytest.raises(DataError) as caught:
        folders.run(recipe(contract), given)
    for words in says:
        assert words in str(caught.value), str(caught.value)
    assert not folders.clean.exists()


def test_a_wrong_length_of_all_embeddings_stops_the_run_with_both_lengths(folders: Folders) -> None:
    vectors = pl.Series([[0.5] * 768] * 3 + [[0.5] * 4], dtype=pl.List(pl.Float32))
    features = "{item: {embedding: {name: audio, dim: 512}}}"
    items = pl.DataFrame({"item_id": [0, 1, 2, 3], "audio": vectors})
    with pytest.raises(DataError) as caught:
        folders.run(recipe("max_quarantined: 0.05", features), events(), items)
    said = str(caught.value)
    assert "contract.max_quarantined: 100 % of 4 items are quarantined, at most 5 % are allowed" in said
    assert "audio has not the length 512 of features.item.embedding.dim (4 times; first in row 0" in said
    assert "The lengths found are 768 (3 times), 4 (1 times); correct features.item.embedding.dim" in said
    assert "[0.5, 0.5, 0.5, ...]" in said


@pytest.mark.parametrize(("bad", "stops"), [(1, False), (2, True)])
def test_the_bound_holds_for_the_items_alone(folders: Folders, bad: int, stops: bool) -> None:
    ids = [*range(20 - bad), *[0] * bad]
    strict, given = recipe("max_quarantined: 0.05"), events(400, item_id=[at % 10 for at in range(400)])
    if stops:
        with pytest.raises(DataError, match=r"10 % of 20 items are quarantined.*source.items"):
            folders.run(strict, given, pl.DataFrame({"item_id": ids}))
    else:
        result = folders.run(strict, given, pl.DataFrame({"item_id": ids}))
        assert result.rows_out["quarantined_items"] == 1


@pytest.mark.parametrize("word", ["NULL", "nan", "None", "\\N", "N/A", " null "])
def test_a_word_for_null_is_no_user(folders: Folders, word: str) -> None:
    given = events(user_id=[word, *[f"u{at % 3}" for at in range(11)]])
    folders.run(recipe(), given)
    [reason] = folders.reasons()[0]
    assert reason.startswith("user_id is a word for a missing value; list it under `nulls` of source.events")
    with pytest.raises(DataError, match=r"8.33 % of 12 events are quarantined.*a word for a missing value"):
        folders.run(recipe("max_quarantined: 0.05"), given)


def test_a_user_who_is_called_null_is_one_when_the_recipe_says_so(folders: Folders) -> None:
    named = parse_recipe(
        _RECIPE.format(contract="{}", features="{}", unit="s").replace("events.parquet}", "events.parquet, nulls: []}")
    )
    assert folders.run(named, events(user_id=["null", "nulls", "Nan"] * 4)).rows_out["events"] == 12


def test_a_stopped_run_leaves_the_rows_and_the_page(folders: Folders) -> None:
    with pytest.raises(DataError, match="max_quarantined"):
        folders.run(recipe("max_quarantined: 0.5"), events(weight=[-1.0] * 12))
    assert len(folders.reasons()) == 12
    assert "weight is negative or infinite" in folders.docs.read_text()


@pytest.mark.parametrize(("unit", "factor"), [("ms", 1000), ("us", 10**6)])
def test_seconds_read_as_a_smaller_unit_are_noticed(folders: Folders, unit: str, factor: int) -> None:
    times = [(_BASE + 86_400 * at) // factor for at in range(12)]
    with pytest.raises(DataError, match=f"look like seconds, not .*{unit[0]}.*time_unit: s .*contract.earliest: 1970"):
        folders.run(recipe(unit=unit), events(time=times))
    assert folders.run(recipe("earliest: '1970-01-01'", unit=unit), events(time=times)).rows_out["events"] == 12


def test_times_that_count_from_zero_are_fine_when_the_contract_says_so(folders: Folders) -> None:
    times = [5 * 10**6 * at for at in range(12)]
    assert folders.run(recipe("earliest: '1970-01-01'"), events(time=times)).rows_out["events"] == 12
    with pytest.raises(
        DataError, match=r"the times are not plausible: half of the events are before 1970-11-15, and no"
    ):
        folders.run(recipe(), events(time=times))


def test_digits_of_a_date_are_no_seconds(folders: Folders) -> None:
    with pytest.raises(DataError, match=r"STRPTIME\(CAST\(x AS VARCHAR\), '%Y%m%d'\)"):
        folders.run(recipe(), events(time=[20240101 + at for at in range(12)]))


def test_unread_times_are_shown_as_they_were_with_the_line_that_reads_them(folders: Folders) -> None:
    texts = [f"11/{20 + at}/2011 10:02" for at in range(10)]
    given = events(time=[None] * 10 + [1704067200] * 2, time_as_read=[*texts, None, None])
    with pytest.raises(DataError) as caught:
        folders.run(recipe("max_quarantined: 0.05"), given)
    assert "first in row 0: user_id=0, item_id=0, time='11/20/2011 10:02'" in str(caught.value)
    assert "can be parsed with time: STRPTIME(time, '%m/%d/%Y %H:%M')" in str(caught.value)
    assert pl.read_parquet(folders.quarantine / "events.parquet")["time_as_read"].to_list()[:10] == texts


def test_sound_events_keep_no_raw_times(folders: Folders) -> None:
    folders.run(recipe("max_quarantined: 0.5"), events(time_as_read=["soon", *[None] * 11]))
    assert "time_as_read" not in pl.read_parquet(folders.clean / "events.parquet").columns


def test_ids_of_two_types_never_meet(folders: Folders) -> None:
    with pytest.raises(
        DataError, match=r"source\.items\.columns\.item_id: the column has type String, it must be Int64 like"
    ):
        folders.run(recipe(), events(), pl.DataFrame({"item_id": ["0", "1"]}))


def test_the_page_is_one_file_and_shows_data_as_text(
    folders: Folders, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("validation must not use the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    given = events(**{"<b>place": pl.Series(["<script>alert(1)</script>", *["home"] * 11])})
    folders.run(recipe("columns: {'<b>place': {allowed: [home, '$x']}}"), given)
    page = folders.docs.read_text()
    assert "<script" not in page
    assert "<b>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "No row where &lt;b&gt;place is not one of home, $x." in page
    assert "http" not in page.replace("http-equiv", "")
    for table in ("columns", "tables", "events", "items", "users"):
        assert f'<h2 id="{table}">' in page
    said = capfd.readouterr()
    assert said.err == ""
    assert all(line.startswith(("validate ", "quarantined ", "data docs: ")) for line in said.out.splitlines())


def test_one_user_with_most_of_the_events(folders: Folders) -> None:
    count = 50_000
    given = events(count, user_id=np.minimum(np.arange(count), 3) % 3)
    result = folders.run(recipe(), given)
    assert result.rows_out["events"] == count
    assert result.details["events_per_user"][-1] == {"from": 32_768, "to": 65_535, "count": 1}


_ROW = st.tuples(
    st.sampled_from([0, 1, None]),
    st.sampled_from([0, 1, 7, None]),
    st.sampled_from([_BASE, _BASE + 1, 2_000_000_000, None]),
    st.sampled_from([0.0, 1.0, -1.0, float("nan"), float("inf"), None]),
)


@settings(max_examples=12, deadline=None)
@given(drawn=st.lists(_ROW, max_size=30), chunk=st.sampled_from([11, 1000]), passes=st.sampled_from([1, 4]))
def test_rows_in_are_clean_and_quarantined(
    drawn: list[tuple[Any, ...]], chunk: int, passes: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("law")
    schema = {"user_id": pl.Int64, "item_id": pl.Int64, "time": pl.Int64, "weight": pl.Float32}
    table = pl.DataFrame(drawn, schema=schema, orient="row").with_columns(number=pl.int_range(pl.len()))
    table.write_parquet(folder / "events.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "_MAX_CHUNK_ROWS", chunk)
        patch.setattr(rows, "_MIN_CHUNK_ROWS", chunk)
        known = pl.Series([0, 1])
        made = check_rows(
            folder / "events.parquet",
            ["user_id", "item_id", "time"],
            event_rules(recipe(), table.schema, known),
            folder / "clean.parquet",
            folder / "bad.parquet",
            folder,
            memory_gb=max(len(drawn), 1) * 240 / passes / 1e9,
        )
    clean, bad = pl.read_parquet(folder / "clean.parquet"), pl.read_parquet(folder / "bad.parquet")
    seen: set[tuple[Any, ...]] = set()
    sound = []
    for number, (user, item, time, weight) in enumerate(drawn):
        first = (user, item, time) not in seen
        seen.add((user, item, time))
        fits = user in (0, 1) and item in (0, 1) and time in (_BASE, _BASE + 1) and weight in (0.0, 1.0)
        sound += [number] if first and fits else []
    assert clean["number"].to_list() == sound
    assert bad["number"].to_list() == bad["row"].to_list() == sorted(set(range(len(drawn))) - set(sound))
    assert clean.schema == table.schema
    assert bad.drop("row", "reason").equals(table[bad["row"].to_list()], null_equal=True)
    assert all(len(reasons) > 0 for reasons in bad["reason"])
    assert (made.rows, made.quarantined) == (len(drawn), bad.height)


def test_results_of_chunks_add_up_to_those_of_the_table() -> None:
    frame = pl.DataFrame({"a": [1.0, None, 3.0, 9.0, None, 9.0], "b": ["x", "y", "z", None, "x", "z"]})
    expectations = [
        gxe.ExpectColumnValuesToNotBeNull(column="a"),
        gxe.ExpectColumnValuesToBeBetween(column="a", max_value=5),
        gxe.ExpectColumnValuesToBeInSet(column="b", value_set=["x", "y"]),
    ]
    whole, parts = Suite("whole", expectations), Suite("parts", expectations)
    assert [rows.tolist() for rows in whole.check(frame.to_pandas())] == [[1, 4], [3, 5], [2, 5]]
    parts.check(frame[:2].to_pandas())
    assert [rows.tolist() for rows in parts.check(frame[2:].to_pandas())] == [[2], [1, 3], [0, 3]]
    for one, other in zip(whole.report().results, parts.report().results, strict=True):
        assert one.success == other.success
        assert one.result.keys() == other.result.keys()
        numbers = [name for name, value in one.result.items() if isinstance(value, int | float)]
        assert {name: one.result[name] for name in numbers} == pytest.approx(
            {name: other.result[name] for name in numbers}
        )
        assert len(one.result["partial_unexpected_list"]) == len(other.result["partial_unexpected_list"])
    assert whole.report().statistics == parts.report().statistics


def test_duplicates_do_not_depend_on_the_number_of_passes(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    keys = pl.DataFrame({"a": random.integers(0, 40, 5000), "b": random.choice(np.array(["x", "y", "zz"]), 5000)})
    keys = keys.with_columns(pl.when(pl.col("a") > 0).then("a"))
    keys.write_parquet(tmp_path / "keys.parquet")
    whole = keys["a"].is_not_null().to_numpy()
    expected = whole & ~keys.select(pl.struct("a", "b").is_first_distinct()).to_series().to_numpy()
    for memory in (1e9, 100_000):
        found = Duplicates(tmp_path / "keys.parquet", ["a", "b"], memory, tmp_path)
        assert np.array_equal(found.among(0, 5000), expected)
        assert np.array_equal(found.among(777, 100), expected[777:877])
    assert expected.sum() == whole.sum() - 39 * 3
