"""Types of CSV columns: numbers only where every text can be had back, and what a recipe declares."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.data.sources import SourceError
from shortlist.data.sources.csv_types import typed
from shortlist.data.sources.files import scan_table
from shortlist.data.sources.locate import find
from shortlist.recipe import RecipeError, TableFile, parse_recipe

NUMBERS = st.one_of(
    st.integers(-(10**22), 10**22).map(str),
    st.floats(allow_nan=False).map(repr),
    st.decimals(-1000, 1000, places=2).map(str),
    st.integers(0, 99).map(lambda number: f"{number}.0"),
)
ODD = st.sampled_from(
    [
        "12E4",
        "120000",
        "007",
        "7",
        "7.0",
        "7.00",
        "+7",
        "-0",
        "-0.0",
        "0",
        "nan",
        "NaN",
        "inf",
        "1e5",
        "1e-05",
        "0.00001",
        "10e-1",
        "0.1",
        "0.10",
        "true",
        "True",
        "NULL",
        "1_000",
        "7.",
        ".7",
        "4876769046116846438",
        "123456789012345678901",
    ]
)


@given(st.lists(st.none() | NUMBERS | ODD, min_size=1, max_size=8) | st.lists(NUMBERS, min_size=1, max_size=8))
def test_distinct_texts_stay_distinct(texts: list[str | None]) -> None:
    frame = typed(pl.LazyFrame({"x": texts}, schema={"x": pl.String})).collect()
    assert frame["x"].null_count() == texts.count(None)
    if frame.schema["x"] == pl.Boolean:
        texts = [text and text.lower() for text in texts]
    pairs = set(zip(texts, frame["x"].to_list(), strict=True))
    assert len(pairs) == len(set(texts)) == frame["x"].n_unique()
    if frame.schema["x"] == pl.Int64:
        assert frame["x"].cast(pl.String).to_list() == texts


@pytest.mark.parametrize(
    ("texts", "dtype"),
    [
        (["1", "-20", None], pl.Int64),
        (["123456789012345678"], pl.Int64),
        (["1234567890123456789"], pl.String),
        (["4.0", "3.5"], pl.Float64),
        (["17850.0", "13047.0", None], pl.Float64),
        (["12.50", "3.00", "3.25"], pl.Float64),
        (["0.30000000000000004", "1e-05", "2.5"], pl.Float64),
        (["2.5", "2.50"], pl.String),
        (["12E4", "120000"], pl.String),
        (["1", "nan"], pl.String),
        (["-0", "1"], pl.String),
        (["true", "FALSE"], pl.Boolean),
        (["true", "false", "?"], pl.String),
        ([None, None], pl.String),
    ],
)
def test_the_type_of_a_column(texts: list[str | None], dtype: pl.DataType) -> None:
    assert typed(pl.LazyFrame({"x": texts}, schema={"x": pl.String})).collect_schema()["x"] == dtype


@pytest.mark.parametrize("late", ["x", "0010", "1.5", "true", "10"])
def test_the_last_row_counts_like_the_first(late: str) -> None:
    column = [None] * 2_000 + ["1"] * 2_000 + [late]
    dtype = {"1.5": pl.Float64, "10": pl.Int64}.get(late, pl.String)
    frame = typed(pl.LazyFrame({"x": column, "other": ["1"] * 4_001}, schema={"x": pl.String, "other": pl.String}))
    assert dict(frame.collect_schema()) == {"x": dtype, "other": pl.Int64}


def read(path: Path, **settings: object) -> pl.DataFrame:
    table = TableFile.model_validate({"path": str(path), **settings})
    return scan_table(find(table.path, path.parent), table, path.parent / "scratch", 1.0).collect()


def refusal(path: Path, **settings: object) -> str:
    with pytest.raises(SourceError) as caught:
        read(path, **settings)
    return str(caught.value)


LOG = "user,rating,code,kind\n007,5,1,\\N\n8,n/a,0,a\n-1,3.5,1,NULL\n"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "log.csv").write_text(LOG)
    return tmp_path / "log.csv"


def test_declared_types_and_words_for_null_of_every_column(log: Path) -> None:
    types = {"user": "integer", "rating": "number", "code": "boolean", "kind": "text"}
    frame = read(log, types=types, nulls=["n/a", "NULL", "\\N", "-1"])
    assert frame.rows() == [(7, 5.0, True, None), (8, None, False, "a"), (None, 3.5, True, None)]


def test_words_for_null_by_column_let_the_types_be_found(log: Path) -> None:
    frame = read(log, nulls={"rating": ["n/a"], "user": ["-1"], "code": ["0"]})
    assert frame["rating"].to_list() == [5.0, None, 3.5]
    assert frame["user"].to_list() == ["007", "8", None]
    assert frame["code"].to_list() == [1, None, 1]
    assert frame["kind"].to_list() == ["\\N", "a", "NULL"]


def test_a_value_that_is_not_of_its_type_is_named_with_its_place(log: Path) -> None:
    said = refusal(log, types={"rating": "number"})
    assert said.startswith(f"{log}: row 2, column 'rating': 'n/a' is not a number, as declared in `types`")
    assert "nulls" in said
    assert "row 3, column 'rating': '3.5'" in refusal(log, types={"rating": "integer"}, nulls=["n/a"])
    assert "row 1, column 'kind': '\\\\N' is not true or false" in refusal(log, types={"kind": "boolean"})


def test_a_declared_column_that_is_not_there(log: Path) -> None:
    assert "types: " in refusal(log, types={"raiting": "number"})
    assert "no column 'raiting'; did you mean 'rating'?" in refusal(log, nulls={"raiting": ["x"]})


def test_the_row_is_that_of_its_own_file(tmp_path: Path) -> None:
    for name, text in (("a", "x\n1\n2\n"), ("b", "x\n3\nfour\n")):
        (tmp_path / f"{name}.csv").write_text(text)
    said = refusal(tmp_path / "*.csv", types={"x": "integer"})
    assert said.startswith(f"{tmp_path}/b.csv: row 2, column 'x': 'four'")


def test_json_lines_keep_the_digits_of_what_is_declared_text(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"id": 4876769046116846438}\n{"id": 1.5}\n{"id": 123456789012345678901}\n{"id": null}\n')
    expected = ["4876769046116846438", "1.5", "123456789012345678901", None]
    assert read(path, types={"id": "text"})["id"].to_list() == expected


def test_types_of_parquet_columns(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    pl.DataFrame({"id": [17850.0, None], "large": [2.0**53, 1.0], "at": ["5", "x"]}).write_parquet(path)
    assert read(path, types={"id": "text"})["id"].to_list() == ["17850", None]
    assert read(path, types={"id": "integer"})["id"].to_list() == [17850, None]
    assert "row 1, column 'large': 9007199254740992.0" in refusal(path, types={"large": "text"})
    assert "row 2, column 'at': 'x'" in refusal(path, types={"at": "integer"})


def test_what_yaml_takes_for_another_value_wants_quotes() -> None:
    text = "{name: a, source: {kind: files, events: [{path: x.csv, nulls: [NULL]}]}, split: {kind: leave_one_out}}"
    with pytest.raises(RecipeError, match=r"nulls.*write it in quotes"):
        parse_recipe(text)
