"""Categories: one key for a value, however the data or a request writes it."""

import json
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.data.categories import canonical
from shortlist.data.category_columns import keys_of, kind_of
from shortlist.data.ingest import ingest
from shortlist.data.tables import scan
from shortlist.dataset.encode import encode_column, vocabulary_of
from shortlist.features import encode_categorical
from shortlist.recipe import Recipe

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
COLUMNS = [
    (pl.Int64, st.integers(-(2**63) + 1, 2**63 - 1)),
    (pl.UInt64, st.integers(0, 2**64 - 1)),
    (pl.Float64, FLOATS | st.integers(-1000, 1000).map(float)),
    (pl.Float32, st.floats(width=32, allow_nan=False, allow_infinity=False)),
    (pl.Decimal(20, 3), st.decimals(-(10**9), 10**9, places=3)),
    (pl.Boolean, st.booleans()),
    (pl.String, st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)),
]


@given(st.data(), st.sampled_from(COLUMNS))
def test_what_goes_in_comes_back_from_a_request_in_any_spelling(data: st.DataObject, column: tuple) -> None:
    dtype, values = column
    known = data.draw(st.lists(values, min_size=1, max_size=8))
    series = pl.Series("x", known, dtype=dtype)
    kind = kind_of(series.dtype, "x")
    vocabulary = vocabulary_of(keys_of(series, kind), "x")
    rows = encode_column(series, vocabulary, 1, kind)[:, 0].tolist()
    assert 0 not in rows
    assert len(set(rows)) == len(set(known))
    told = [float(str(one)) if dtype == pl.Float32 else one for one in series.to_list()]
    spellings = [told, [json.loads(json.dumps(one, default=str)) for one in told]]
    if dtype == pl.Float32:
        # A double that is written with the digits of the single one.
        told = [float(text) for text in series.cast(pl.String).to_list()]
        spellings = [told]
    spellings.append([str(one) for one in told])
    if kind in ("integer", "number"):
        spellings.append([int(one) if one == int(one) and abs(one) < 2**53 else one for one in told])
    if kind == "boolean":
        spellings += [[str(one).lower() for one in told], [int(one) for one in told]]
    for spelling in spellings:
        assert encode_categorical(spelling, vocabulary, 1, kind)[:, 0].tolist() == rows, spelling


@pytest.mark.parametrize("value", [3, 3.0, "3", "3.0", Decimal(3), "3.00"])
@pytest.mark.parametrize("dtype", [pl.Int8, pl.Int64, pl.Float64, pl.Float32, pl.Decimal(10, 2), pl.UInt64])
def test_three_is_three(value: object, dtype: pl.DataType) -> None:
    series = pl.Series("x", [2, 3, None], dtype=dtype)
    kind = kind_of(series.dtype, "x")
    vocabulary = vocabulary_of(keys_of(series, kind), "x")
    assert encode_categorical([value], vocabulary, 1, kind).tolist() == [[2]]


@pytest.mark.parametrize(
    ("value", "kind", "key"),
    [
        ("3.0", "text", "3.0"),
        (3.0, "text", "3"),
        (2.50, "text", "2.5"),
        (True, "text", "true"),
        ("True", "text", "True"),
        ("True", "boolean", 1),
        (0.0, "boolean", 0),
        ("yes", "boolean", "yes"),
        (True, "integer", "true"),
        (-0.0, "number", "0"),
        ("1e3", "number", "1000"),
        (1e-7, "number", "0.0000001"),
        ("1e999999999", "number", "1e999999999"),
        (float("nan"), "number", None),
        (float("inf"), "text", None),
        (None, "text", None),
        ("x", "integer", "x"),
    ],
)
def test_the_key_of_a_value(value: object, kind: str, key: object) -> None:
    found = canonical(value, kind)  # type: ignore[arg-type] # a kind
    assert found == key
    assert type(found) is type(key)


def test_nan_and_infinity_are_missing_in_a_column() -> None:
    series = pl.Series("x", [1.0, float("nan"), float("inf"), None])
    assert keys_of(series, "number").to_list() == ["1", None, None, None]


def test_an_old_store_finds_the_words_that_it_wrote() -> None:
    vocabulary = vocabulary_of(pl.Series(["3.0", "True", "x"]), "x")
    assert encode_categorical([3.0, True, "x", 3, None], vocabulary, 1).tolist() == [[1], [2], [3], [0], [0]]
    numbers = vocabulary_of(pl.Series([0, 1, 7]), "x")
    assert encode_categorical([True, 7.0, "7", 0.5], numbers, 1).tolist() == [[2], [3], [3], [0]]


def test_files_that_write_a_category_in_two_types_agree(tmp_path: Path) -> None:
    for name, band in (("a", [3.0, 2.5]), ("b", [3, 4]), ("c", ["3", "x"])):
        frame = pl.DataFrame({"user_id": [1, 2], "item_id": [1, 2], "time": [1, 2], "band": band})
        frame.write_parquet(tmp_path / f"{name}.parquet")
    for files, expected in (
        ("ab", ["3", "2.5", "3", "4"]),
        ("bc", ["3", "4", "3", "x"]),
        ("ac", ["3", "2.5", "3", "x"]),
    ):
        source = {"kind": "files", "events": [{"path": str(tmp_path / f"{name}.parquet")} for name in files]}
        recipe = {"name": "x", "source": source, "split": {"kind": "leave_one_out"}}
        features = {"context": {"categorical": [{"name": "band"}]}}
        ingest(Recipe.model_validate(recipe | {"features": features}), tmp_path / "tables")
        assert scan(tmp_path / "tables", "events").collect()["band"].to_list() == expected


@pytest.mark.parametrize("dtype", [pl.Float32, pl.Float64, pl.Decimal(10, 3), pl.UInt64, pl.Boolean, pl.Categorical])
def test_a_column_of_any_type_keeps_its_values_through_ingest(dtype: pl.DataType, tmp_path: Path) -> None:
    raw = {pl.Boolean: [True, False], pl.Categorical: ["x", "3.0"]}.get(
        dtype, [3, 3] if dtype == pl.UInt64 else [3, 0.1]
    )
    frame = pl.DataFrame(
        {"user_id": [1, 2], "item_id": [1, 2], "time": [1, 2], "band": pl.Series(raw, dtype=dtype, strict=False)}
    )
    frame.with_columns(bands=pl.concat_list("band")).write_parquet(tmp_path / "a.parquet")
    recipe = {
        "name": "x",
        "source": {"kind": "files", "events": [{"path": str(tmp_path / "a.parquet")}]},
        "split": {"kind": "leave_one_out"},
        "features": {"context": {"categorical": [{"name": "band"}, {"name": "bands", "max_values": 2}]}},
    }
    ingest(Recipe.model_validate(recipe), tmp_path / "tables")
    found = scan(tmp_path / "tables", "events").collect()
    for name in ("band", "bands"):
        kind = kind_of(found.schema[name], name)
        flat = found[name].explode() if name == "bands" else found[name]
        assert keys_of(flat, kind).to_list() == [canonical(value, kind) for value in raw]


def test_lists_of_numbers_are_categories_too() -> None:
    series = pl.Series("x", [[3.0, None, 2.5], None, []])
    kind = kind_of(series.dtype, "x")
    vocabulary = vocabulary_of(keys_of(pl.Series([2.5, 3.0]), kind), "x")
    rows = encode_column(series, vocabulary, 3, kind)
    np.testing.assert_array_equal(rows, [[2, 1, 0], [0, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(rows, encode_categorical([[3, None, "2.5"], None, []], vocabulary, 3, kind))
