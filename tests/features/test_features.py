import datetime
import json
import shutil

import numpy as np
import polars as pl
import pytest
from clean_tables import random_events, recipe, write_clean
from hypothesis import given
from hypothesis import strategies as st

from shortlist.data.keys import MAX_KEY_BYTES, exact_in_json
from shortlist.dataset.prepare import prepare
from shortlist.dataset.prepared import Prepared
from shortlist.features import (
    SCHEMA_VERSION,
    Context,
    FeatureStore,
    NumericField,
    TableSchema,
    encode_categorical,
    encode_clock,
    encode_numeric,
    gather_windows,
)
from shortlist.features.vocabulary import Vocabulary

INTEGERS = st.lists(st.integers(-(2**62), 2**62), max_size=30)
WORDS = st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20), max_size=30)


@given(st.one_of(INTEGERS, WORDS))
def test_rows_and_values_go_round(keys):
    vocabulary = Vocabulary.of(np.array(keys) if keys else np.zeros(0, np.int64))
    rows = vocabulary.rows(keys)
    assert vocabulary.values(rows) == keys
    assert sorted(set(rows.tolist())) == list(range(1, vocabulary.num_rows))
    assert vocabulary.num_rows == len(set(keys)) + 1


@given(INTEGERS, INTEGERS)
def test_unknown_numbers_have_row_0(keys, asked):
    vocabulary = Vocabulary.of(np.array(keys, np.int64))
    assert [row > 0 for row in vocabulary.rows(asked)] == [key in set(keys) for key in asked]


@given(WORDS, WORDS)
def test_unknown_words_have_row_0(keys, asked):
    vocabulary = Vocabulary.of(np.array(keys, np.str_))
    assert [row > 0 for row in vocabulary.rows(asked)] == [key in set(keys) for key in asked]


ANY_INTEGER = st.integers(-(10**25), 10**25)


@given(st.lists(st.integers(1 - 2**63, 2**63 - 1), min_size=1, max_size=20), ANY_INTEGER)
def test_an_integer_and_its_digits_find_one_key_and_nothing_else_does(keys, other):
    numbers, words = Vocabulary.of(np.array(keys, np.int64)), Vocabulary.of(np.array([str(key) for key in keys]))
    for vocabulary in (numbers, words):
        rows = vocabulary.rows(keys)
        assert [int(found) for found in vocabulary.values(rows)] == keys
        assert vocabulary.rows([str(key) for key in keys]).tolist() == rows.tolist()
        assert bool(vocabulary.rows([other, "beside"])[0]) == bool(vocabulary.rows([str(other)])[0]) == (other in keys)


@given(st.floats(-1e200, 1e200), st.lists(ANY_INTEGER.map(str), max_size=5))
def test_a_double_finds_the_integer_that_it_is_alone_in_being(value, others):
    same = int(value) if value.is_integer() and abs(value) < 2**53 else None
    around = [str(int(value) + step) for step in (-1, 0, 1)]
    words = Vocabulary.of(np.array([*others, *around, "x"]))
    assert words.values(words.rows([value])) == [None if same is None else str(same)]


@given(st.one_of(ANY_INTEGER, st.text(max_size=5)))
def test_ids_come_back_from_a_json_parser_that_knows_doubles_only(key):
    read = json.loads(json.dumps(exact_in_json(key)), parse_int=float)
    assert str(int(read) if isinstance(read, float) else read) == str(key)


@pytest.mark.parametrize("value", ["05", "+5", "5.0", " 5", "5 ", "-0", "00", "5e0", "\u0665", True, False, 5.5, None])
def test_what_is_written_otherwise_is_another_id(value):
    assert Vocabulary.of(np.array([5, 0, 1])).rows([value]).tolist() == [0]
    assert Vocabulary.of(np.array(["5", "0", "1", "True", "None", "5.5x"])).rows([value]).tolist() == [0]


def test_large_numbers_beside_small_ones_are_not_rounded():
    known = [2**63, 4876769046116846438, 10**20 + 1]
    words = Vocabulary.of(np.array([str(key) for key in known]))
    asked = [-1, 4876769046116846437, *known]
    assert words.values(words.rows(asked)) == [None, None, *(str(key) for key in known)]


def test_words_of_another_vocabulary_find_the_integers_that_they_spell():
    theirs = Vocabulary.of(np.array(["007", "7", "x"]))
    assert Vocabulary.of(np.array([7])).rows(theirs.keys).tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    "value", [7.5, float("nan"), float("-inf"), None, 2**70, -(2**63), "7 ", "1_0", "", {}, "\u0667"]
)
def test_what_is_no_integer_finds_no_key(value):
    assert Vocabulary.of(np.array([7, 10])).rows([value]).tolist() == [0]


@pytest.mark.parametrize(
    "value", ["a\0", "\ud800", "a" * (MAX_KEY_BYTES + 1), "a" * 5_000_000, "A", pytest.param(10**9999, id="huge")]
)
def test_odd_text_finds_no_key(value):
    assert Vocabulary.of(np.array(["a", "a" * MAX_KEY_BYTES])).rows([value, "a"]).tolist() == [0, 1]


def test_a_word_longer_than_all_keys_is_not_cut_to_one():
    assert Vocabulary.of(np.array(["ab", "b"])).rows(["abc", "ab", "b\u00e9"]).tolist() == [0, 1, 0]


def test_a_long_word_among_many_takes_the_memory_of_one():
    rows = Vocabulary.of(np.array(["a"])).rows(["a" * 1_000_000, *["a"] * 100_000])
    assert rows[0] == 0
    assert rows[1:].all()


def test_an_empty_vocabulary_knows_nothing():
    assert Vocabulary(np.zeros(0, np.int64)).rows([1, 2]).tolist() == [0, 0]
    assert Vocabulary(np.zeros(0, "S1")).rows(["a"]).tolist() == [0]


@given(st.data(), st.integers(1, 6))
def test_windows_against_a_loop(data, width):
    items = np.array(data.draw(st.lists(st.integers(1, 99), max_size=30)), np.int32)
    bounds = [
        sorted(pair)
        for pair in data.draw(st.lists(st.tuples(*[st.integers(0, len(items))] * 2), min_size=1, max_size=8))
    ]
    start, end = np.array(bounds).T
    windows, length = gather_windows(items, start, end, width)
    assert windows.shape == (len(bounds), width)
    assert windows.dtype == np.int64
    for (first, last), window, count in zip(bounds, windows.tolist(), length.tolist(), strict=True):
        seen = items[first:last].tolist()[-width:]
        assert window == seen + [0] * (width - len(seen))
        assert count == len(seen)


def test_lists_give_their_first_values():
    words = Vocabulary.of(np.array(["a", "b", "c"]))
    values = ["a", ["c", None, "b"], None, ["zz", "b"], [], ("b", "a", "c", "a")]
    assert encode_categorical(values, words, 3).tolist() == [
        [1, 0, 0],
        [3, 2, 0],
        [0, 0, 0],
        [0, 2, 0],
        [0, 0, 0],
        [2, 1, 3],
    ]


def test_numbers_are_standardised_and_missing_ones_flagged():
    schema = TableSchema(numeric=[NumericField(name="x", mean=10, std=2), NumericField(name="y", mean=0, std=1)])
    encoded = encode_numeric([[12, None, float("inf")], [1e300, -1, float("nan")]], schema, 3)
    assert encoded.tolist() == [[1, 0, 1e6, 0], [0, 1, -1, 0], [0, 1, 0, 1]]
    assert encoded.dtype == np.float32


@given(st.lists(st.integers(-(10**9), 4 * 10**9), min_size=1, max_size=20))
def test_the_clock_is_that_of_the_calendar(times):
    dates = [datetime.datetime.fromtimestamp(0, datetime.UTC) + datetime.timedelta(seconds=time) for time in times]
    assert encode_clock(np.array(times), "hour")[:, 0].tolist() == [date.hour + 1 for date in dates]
    assert encode_clock(np.array(times), "weekday")[:, 0].tolist() == [date.isoweekday() for date in dates]


FEATURES = """
  history_length: 4
  item: {categorical: [{name: tags, max_values: 2}], numeric: [price], title: name}
  user: {categorical: [{name: country}], numeric: [age]}
  context:
    categorical: [{name: device}, {name: words, max_values: 2}]
    numeric: [battery]
    clock: [hour, weekday]
"""


@pytest.fixture(scope="module")
def log(tmp_path_factory) -> tuple[pl.DataFrame, Prepared]:
    """Raw events with context, and what prepare makes of them."""
    folder = tmp_path_factory.mktemp("features")
    rng = np.random.default_rng(3)
    events = random_events(3, until=100_000)
    count = len(events["time"])
    words = ["x", "y", "", "żółw"]
    events |= {
        "device": [["tv", "phone", None][i] for i in rng.integers(0, 3, count)],
        "words": [
            None if i == 0 else [words[j] if j < 4 else None for j in rng.integers(0, 5, i - 1)]
            for i in rng.integers(0, 5, count)
        ],
        "battery": [None if number < 0 else number for number in rng.normal(1, 1, count).tolist()],
    }
    frame = pl.DataFrame(events)
    item = frame["item_id"].unique().sort()
    user = frame["user_id"].unique().sort()
    items = {
        "item_id": item,
        "tags": [[i % 3, i % 5] for i in range(len(item))],
        "price": [None if i % 7 == 0 else float(i) for i in range(len(item))],
        "name": [None if i % 11 == 0 else f"título {i}" for i in range(len(item))],
    }
    users = {"user_id": user, "country": [f"c{i % 4}" for i in range(len(user))], "age": list(range(len(user)))}
    write_clean(folder / "clean", frame, items, users)
    split = "{kind: temporal, test: 10000s, valid: 10000s}"
    prepare(recipe(split, features=FEATURES), folder / "clean", folder / "prepared")
    return frame, Prepared.open(folder / "prepared")


def test_a_request_and_an_array_slice_give_the_same_query(log):
    """The heart of it: what training reads by pointers is what serving makes of raw ids and values."""
    frame, prepared = log
    store, samples = prepared.store, prepared.samples
    ordered = frame.with_row_index().sort("user_id", "time", "index")
    at = np.flatnonzero(samples.part == 1)[::7]
    trained = store.queries(
        samples.user[at], store.history_items, samples.start[at], samples.end[at], samples.context.take(at)
    )
    for e, i in enumerate(at.tolist()):
        row = ordered.row(i, named=True)
        past = ordered.filter(
            (pl.col("user_id") == row["user_id"]) & (pl.col("time") < row["time"]) & pl.col("in_history")
        )
        history = store.items.rows(past["item_id"].to_list())
        context = store.context({name: [row[name]] for name in ("device", "words", "battery")}, np.array([row["time"]]))
        user = store.users.rows([str(row["user_id"])])
        asked = store.queries(user, history, np.array([0]), np.array([len(history)]), context)
        np.testing.assert_array_equal(asked.history_BL[0], trained.history_BL[e])
        np.testing.assert_array_equal(asked.prefix_E[0], trained.prefix_E[e])
        np.testing.assert_array_equal(asked.user_E[0], trained.user_E[e])
        np.testing.assert_array_equal(asked.numeric_EF[0], trained.numeric_EF[e])
        assert asked.categorical.keys() == trained.categorical.keys() == set(store.schema.query_fields)
        for name, rows in asked.categorical.items():
            np.testing.assert_array_equal(rows[0], trained.categorical[name][e], err_msg=name)
            assert rows.dtype == trained.categorical[name].dtype == np.int64


def test_queries_have_the_shapes_that_the_towers_read(log):
    _, prepared = log
    queries = prepared.encode(prepared.test)
    count = len(prepared.test)
    assert queries.history_BL.shape == (count, 4)
    assert queries.window_E.tolist() == list(range(count))
    assert queries.numeric_EF.shape == (count, prepared.store.schema.query_numeric_dim)
    assert queries.numeric_EF.dtype == np.float32
    for name, field in prepared.store.schema.query_fields.items():
        assert queries.categorical[name].shape == (count, field.max_values)
        assert queries.categorical[name].max() < field.num_rows


def test_a_context_that_is_not_given_is_unknown(log):
    store = log[1].store
    context = store.context({}, np.array([0]))
    assert isinstance(context, Context)
    assert not context.categorical["context.device"].any()
    assert context.numeric_EF.tolist() == [[0, 1]]
    assert context.categorical["clock.hour"].tolist() == [[1]]


def test_titles_and_histories_by_row(log):
    frame, prepared = log
    store = prepared.store
    items = sorted(frame["item_id"].unique())
    expected = ["", *("" if i % 11 == 0 else f"título {i}" for i in range(len(items)))]
    assert store.titles(np.arange(len(items) + 1)) == expected
    start, end = store.history_bounds(np.arange(store.schema.num_user_rows))
    assert start[0] == end[0] == 0
    user = sorted(frame["user_id"].unique())[4]
    own = frame.with_row_index().filter((pl.col("user_id") == user) & pl.col("in_history")).sort("time", "index")
    assert store.items.values(store.history_items[start[5] : end[5]]) == own["item_id"].to_list()


def test_a_store_of_another_schema_is_refused(log, tmp_path):
    text = (log[1].store.folder / "schema.json").read_text()
    (tmp_path / "schema.json").write_text(text.replace(f'"version": {SCHEMA_VERSION}', '"version": 99'))
    with pytest.raises(ValueError, match="features have schema version 99"):
        FeatureStore.open(tmp_path)


def test_a_store_of_the_version_without_text_is_still_read(log, tmp_path):
    shutil.copytree(log[1].store.folder, tmp_path / "old")
    schema = json.loads((tmp_path / "old/schema.json").read_text()) | {"version": 1}
    for table in ("item", "user", "context"):
        del schema[table]["text"]
    (tmp_path / "old/schema.json").write_text(json.dumps(schema))
    store = FeatureStore.open(tmp_path / "old")
    assert store.item_text is None
    assert store.schema.query_numeric_dim == log[1].store.schema.query_numeric_dim


def test_values_that_no_training_has_seen_are_told(log):
    store = log[1].store
    user = {"country": "c9", "age": 99}
    context = {"device": "tv", "words": ["x", None, "new", "cut off"]}
    assert store.unknown_values(user, context) == {"user.country": ["c9"]}
    context["words"] = ["x", "new", "cut off"]
    assert store.unknown_values({}, context) == {"context.words": ["new"]}
    assert store.unknown_values({"country": None}, {"device": ["phone", 3.0], "words": []}) == {}
    assert store.unknown_values({"country": True}, {}) == {"user.country": [True]}


def test_a_store_without_kinds_reads_words_as_they_were_written(log, tmp_path):
    shutil.copytree(log[1].store.folder, tmp_path / "old")
    schema = json.loads((tmp_path / "old/schema.json").read_text()) | {"version": 3}
    for field in schema["context"]["categorical"]:
        del field["kind"]
    (tmp_path / "old/schema.json").write_text(json.dumps(schema))
    Vocabulary.of(np.array(["3.0", "True", "tv"])).save(tmp_path / "old/vocabularies/context.device.npy")
    context = FeatureStore.open(tmp_path / "old").context({"device": [3.0, True, "tv", 3]}, np.zeros(4, np.int64))
    assert context.categorical["context.device"].tolist() == [[1], [2], [3], [0]]


def test_what_a_query_tells_of_its_user_counts_as_if_the_store_knew_it(tmp_path):
    users = {
        "user_id": [1, 2, 3],
        "land": ["fi", "se", "fi"],
        "tags": [["a"], ["b", "a"], ["b"]],
        "age": [20.0, 30.0, 40.0],
        "about": ["road works", "road and water", "water works"],
    }
    events = {"user_id": [1, 1, 1, 2, 2, 2, 3, 3, 3], "item_id": [1, 2, 3] * 3, "time": [0, 1, 2] * 3}
    write_clean(tmp_path / "clean", events, users=users)
    features = """{user: {categorical: [{name: land}, {name: tags, max_values: 2}], numeric: [age],
      text: {columns: [about, tags], dim: 3}}}"""
    prepare(recipe("{kind: leave_one_out}", features=features), tmp_path / "clean", tmp_path / "prepared")
    store = FeatureStore.open(tmp_path / "prepared/features")
    known = np.array([1, 2, 3])
    nothing = np.zeros(3, np.int64)
    context = store.context({}, nothing)
    expected = store.queries(known, nothing, nothing, nothing, context)
    told = [{name: values[i] for name, values in users.items() if name != "user_id"} for i in range(3)]
    found = store.queries(nothing, nothing, nothing, nothing, context, told)
    for name, rows in expected.categorical.items():
        np.testing.assert_array_equal(found.categorical[name], rows)
    np.testing.assert_allclose(found.numeric_EF, expected.numeric_EF, atol=1e-6)
    assert expected.numeric_EF.any(0).all() or expected.numeric_EF[:, 2:].any()
    # What is not told stays as the store knows it, and an empty word takes nothing from the others.
    partly = store.queries(known, nothing, nothing, nothing, context, [{}, {"age": 20.0}, {"land": "fi"}])
    np.testing.assert_array_equal(partly.categorical["user.land"], expected.categorical["user.land"])
    np.testing.assert_array_equal(partly.numeric_EF[[0, 2]], expected.numeric_EF[[0, 2]])
    assert partly.numeric_EF[1, 0] == expected.numeric_EF[0, 0]
    np.testing.assert_array_equal(partly.numeric_EF[1, 1:], expected.numeric_EF[1, 1:])
