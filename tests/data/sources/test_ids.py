"""Ids from any format: digit for digit, of one type in all tables, or refused with the reason."""

import re
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.data import tables
from shortlist.data.ingest import ingest
from shortlist.data.sources import SourceError
from shortlist.data.sources.ids import IdColumn, ids
from shortlist.recipe import Recipe

SPLIT = {"kind": "leave_one_out"}
INTEGERS = st.integers(-(10**25), 10**25)
TEXTS = st.text(st.characters(exclude_characters='\0\r\n",', exclude_categories=["Cs", "Zs"]), min_size=1, max_size=8)


def column(values: list[object], dtype: pl.DataType | None = None, name: str = "events") -> IdColumn:
    return IdColumn(pl.LazyFrame({"id": pl.Series(values, dtype=dtype)}), "id", f"source.{name}", f"{name}.parquet")


def read(*columns: IdColumn) -> list[list[object]]:
    expressions = ids(columns)
    frames = [one.frame.select(value).collect() for one, value in zip(columns, expressions, strict=True)]
    assert len({frame.schema["id"] for frame in frames}) == 1
    return [frame["id"].to_list() for frame in frames]


def shop(folder: Path, items: bool = False, **settings: object) -> Recipe:
    source = {"kind": "files", "events": [{"path": str(folder / "events.csv"), **settings}]}
    if items:
        source["items"] = {"path": str(folder / "items.csv")}
    return Recipe.model_validate({"name": "shop", "source": source, "split": SPLIT})


@given(pairs=st.lists(st.tuples(INTEGERS.map(str) | TEXTS, INTEGERS.map(str) | TEXTS), min_size=1, max_size=12))
def test_what_goes_in_comes_back(pairs: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("ids")
    (folder / "events.csv").write_text("user_id,item_id,time\n" + "".join(f"{u},{i},1\n" for u, i in pairs))
    try:
        ingest(shop(folder), folder / "tables")
    except SourceError as error:
        assert "Ids must be text or whole numbers" in str(error)  # noqa: PT017 - some texts are fractions
        return
    found = tables.scan(folder / "tables", "events").select(pl.col("user_id", "item_id").cast(pl.String)).collect()
    for at, name in enumerate(("user_id", "item_id")):
        raw = [pair[at] for pair in pairs]
        read_back = found[name].to_list()
        # `5.0` alone in its column is the id 5.
        assert [text.removesuffix(".0") for text in raw] == [text.removesuffix(".0") for text in read_back]
        assert len(set(raw)) == len(set(read_back))


def test_ids_that_a_double_would_merge_stay_apart(tmp_path: Path) -> None:
    known = [487676904611684640 + at for at in range(40)]
    rows = "".join(f"{at},{item},1\n{at},,2\n" for at, item in enumerate(known))
    (tmp_path / "events.csv").write_text(f"user_id,item_id,time\n{rows}12E4,nan,3\n120000,123456789012345678901,3\n")
    ingest(shop(tmp_path, nulls=["nan"]), tmp_path / "tables")
    items = tables.scan(tmp_path / "tables", "items").collect()["item_id"].to_list()
    assert items == sorted([*map(str, known), "123456789012345678901"])
    users = tables.scan(tmp_path / "tables", "users").collect()["user_id"].to_list()
    assert {"12E4", "120000"} <= set(users)


@given(st.lists(st.none() | st.integers(1 - 2**53, 2**53 - 1), min_size=1))
def test_whole_doubles_are_their_integers(values: list[int | None]) -> None:
    assert read(column(values, pl.Float64)) == [values]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1.0, 2.0**53], "9007199254740992.0 is not below 2^53"),
        ([1.0, -1e300], "-1e+300 is not below 2^53"),
        ([1.0, float("inf")], "inf is not below 2^53"),
        ([7.0, 8.5], "8.5 is a fraction"),
        ([Decimal("7"), Decimal("8.5")], "is a fraction"),
    ],
)
def test_numbers_that_are_no_ids_are_refused_with_one_of_them(values: list[object], said: str) -> None:
    with pytest.raises(SourceError) as caught:
        read(column(values))
    assert str(caught.value).startswith("source.events.columns.id: events.parquet: the ids are of type ")
    assert said in str(caught.value)
    assert "types" in str(caught.value)


@pytest.mark.parametrize("values", [[True], [b"\xff\x00"], [[1, 2]], [{"a": 1}]])
def test_columns_that_hold_no_ids_are_refused_by_type(values: list[object]) -> None:
    with pytest.raises(
        SourceError, match=r"source.events.columns.id: events.parquet: a column of .* cannot contain ids"
    ):
        read(column(values))


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([1, 2**63 - 1], pl.UInt64, [1, 2**63 - 1]),
        ([1, 2**63], pl.UInt64, ["1", "9223372036854775808"]),
        ([1, 10**20], pl.Int128, ["1", "100000000000000000000"]),
        ([Decimal("7.00"), None], pl.Decimal(10, 2), ["7", None]),
        ([Decimal(7), Decimal(10**20 + 1)], pl.Decimal(38, 0), ["7", "100000000000000000001"]),
        ([7.0, float("nan")], pl.Float64, [7, None]),
        (["a", None], pl.Categorical, ["a", None]),
        ([None], pl.Null, [None]),
    ],
)
def test_large_and_decimal_columns(values: list[object], dtype: pl.DataType, expected: list[object]) -> None:
    expected = [int(one) if dtype == pl.Decimal(10, 2) and one else one for one in expected]
    assert read(column(values, dtype)) == [expected]


def test_text_and_integers_of_one_spelling_meet() -> None:
    assert read(column(["7", "x"]), column([7, 8], name="items")) == [["7", "x"], ["7", "8"]]
    assert read(column([7.0]), column(["x"], name="items")) == [["7"], ["x"]]


@pytest.mark.parametrize("text", ["007", "+7", "7.0", "07.00"])
def test_text_that_spells_an_integer_otherwise_is_refused(text: str) -> None:
    said = f"has the text '{text}' and items.parquet the number 7: these are two different ids"
    with pytest.raises(SourceError, match=re.escape(said)):
        read(column([text, "x"]), column([7], name="items"))
    # Without that integer it is an id like any other.
    assert read(column([text, "x"]), column([9], name="items")) == [[text, "x"], ["9"]]


def test_events_with_padded_text_and_items_with_numbers_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("user_id,item_id,time\n1,007,1\n1,8,1\n")
    (tmp_path / "items.csv").write_text("item_id\n7\n8\n")
    with pytest.raises(SourceError, match="has the text '007' and"):
        ingest(shop(tmp_path, items=True), tmp_path / "tables")
    ingest(shop(tmp_path, items=True, types={"item_id": "integer"}), tmp_path / "tables")
    assert tables.scan(tmp_path / "tables", "events").collect()["item_id"].to_list() == [7, 8]


def test_an_expression_over_text_says_why_it_is_text(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("user_id,item_id,time,rating\n1,7,1,5\n1,8,1,n/a\n1,9,1,3\n")
    recipe = Recipe.model_validate(shop(tmp_path).model_dump() | {"interactions": {"positive": "rating >= 4"}})
    with pytest.raises(SourceError) as caught:
        ingest(recipe, tmp_path / "tables")
    assert "interactions.positive: 'rating >= 4' does not work on" in str(caught.value)
    assert "'rating' is text, since 'n/a' (row 2) is not a number: declare `types: {rating: number}`" in str(
        caught.value
    )
