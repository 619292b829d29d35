import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.data.category_columns import kind_of
from shortlist.dataset.columns import ColumnWriter, load
from shortlist.dataset.encode import common_key_type, encode_column, numbers_of, rows_of, values_of, vocabulary_of
from shortlist.features import encode_categorical

NARROW = st.integers(-50, 50)
WIDE = st.integers(-(2**62), 2**62)
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)
BOTH = [(pl.Int64, NARROW), (pl.Int64, WIDE), (pl.String, TEXT)]


@st.composite
def columns(draw, most=12):
    """A column's type, some of its values as a vocabulary, and others with nulls to look up."""
    dtype, values = draw(st.sampled_from(BOTH))
    known, asked = draw(st.lists(values, max_size=most)), draw(st.lists(st.none() | values, max_size=most))
    return dtype, known, asked + known[:3]


@given(columns())
def test_a_column_has_the_rows_that_a_request_would_have(column):
    dtype, known, asked = column
    kind = kind_of(dtype(), "x")
    vocabulary = vocabulary_of(pl.Series(known, dtype=dtype), "x")
    assert vocabulary.values(np.arange(1, vocabulary.num_rows)) == sorted(set(known), key=_key)
    rows = rows_of(pl.Series(asked, dtype=dtype), vocabulary)
    assert rows.dtype == np.int32
    assert rows.tolist() == [0 if value is None else int(vocabulary.rows([value])[0]) for value in asked]
    for width in (1, 2):
        np.testing.assert_array_equal(
            encode_column(pl.Series(asked, dtype=dtype), vocabulary, width, kind),
            encode_categorical(asked, vocabulary, width, kind),
        )


@given(columns(), st.data(), st.integers(1, 3))
def test_a_list_column_has_the_rows_that_a_request_would_have(column, data, width):
    dtype, known, asked = column
    kind = kind_of(dtype(), "x")
    vocabulary = vocabulary_of(pl.Series(known, dtype=dtype), "x")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(asked)), max_size=5)))
    lists = [asked[a:b] for a, b in zip([0, *cuts], [*cuts, len(asked)], strict=True)] + [None, []]
    series = pl.Series("x", lists, dtype=pl.List(dtype))
    np.testing.assert_array_equal(
        encode_column(series, vocabulary, width, kind), encode_categorical(lists, vocabulary, width, kind)
    )
    values = series.to_frame().select(values_of("x", series.dtype, width))["x"].to_list()
    assert values == [value for one in lists if one for value in one[:width] if value is not None]


def test_arrays_of_fixed_width_are_lists():
    series = pl.Series([[1, 2], None, [3, 1]], dtype=pl.Array(pl.Int64, 2))
    vocabulary = vocabulary_of(pl.Series([1, 2, 3]), "x")
    assert encode_column(series, vocabulary, 2, "integer").tolist() == [[1, 2], [0, 0], [3, 1]]


def test_columns_that_meet_are_text_unless_all_are_integers():
    assert common_key_type("x", pl.Int32(), pl.Int64()) == pl.Int64
    assert common_key_type("x", pl.Int64(), pl.String()) == pl.String
    assert common_key_type("x", pl.List(pl.Date())) == pl.String
    with pytest.raises(ValueError, match="x: columns of Int64, Float64 are no ids"):
        common_key_type("x", pl.Int64(), pl.Float64())


def test_numbers_are_floats_with_nan_for_null():
    np.testing.assert_array_equal(numbers_of(pl.Series([1, None]), "x"), [1, np.nan])
    np.testing.assert_array_equal(numbers_of(pl.Series([True, None]), "x"), [1, np.nan])
    with pytest.raises(ValueError, match="x: a column of List"):
        numbers_of(pl.Series([[1]]), "x")


def test_a_column_in_pieces_has_the_bytes_of_the_whole(tmp_path):
    whole = np.arange(30, dtype=np.int64).reshape(10, 3)
    with ColumnWriter(tmp_path) as columns:
        columns.add("a/pieces", np.int32, (10, 3))
        for rows in (whole[:4], whole[4:4], whole[4:]):
            columns.write("a/pieces", rows)
    np.save(tmp_path / "whole.npy", whole.astype(np.int32))
    assert (tmp_path / "a/pieces.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()
    assert type(load(tmp_path / "whole.npy")) is np.ndarray
    with pytest.raises(AssertionError), ColumnWriter(tmp_path) as columns:
        columns.add("short", np.int32, (10,))


def _key(value):
    return value.encode() if isinstance(value, str) else value
