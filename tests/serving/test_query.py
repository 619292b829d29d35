import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.answer.query import Query, QueryReader
from shortlist.answer.refusal import BadRequestError
from shortlist.features import CategoricalField, FeatureSchema, NumericField, TableSchema, TextField
from shortlist.recipe import Serving

SCHEMA = FeatureSchema(
    num_item_rows=3,
    num_user_rows=3,
    history_length=5,
    item=TableSchema(),
    user=TableSchema(
        categorical=[CategoricalField(name="works", num_rows=3, dim=4, max_values=2)],
        numeric=[NumericField(name="price", mean=0.0, std=1.0)],
        text=TextField(columns=["title", "works"], dim=4),
    ),
    context=TableSchema(
        categorical=[CategoricalField(name="device", num_rows=3, dim=4)],
        numeric=[NumericField(name="volume", mean=0.0, std=1.0)],
    ),
)
LIMITS = Serving(max_k=200, default_k=10, max_history=1000)


READER = QueryReader(LIMITS, SCHEMA, ("positive", "liked"))


def parse(*instances: Any) -> list[Query]:
    return READER.request({"instances": list(instances)})


def test_a_query_is_read_with_its_defaults() -> None:
    full = {
        "user_id": "u1",
        "history": [3, "b"],
        "user": {"works": ["road"], "price": 3, "title": "x" * 300},
        "context": {"device": ["car", "tv"], "volume": 0.5},
        "k": 3,
        "exclude": [9],
        "time": 1767225600.7,
        "history_times": [1767225500, 1767225550.9],
    }
    empty = {
        "user_id": None,
        "history": None,
        "history_times": None,
        "context": None,
        "k": None,
        "exclude": None,
        "time": None,
    }
    first, second, third = parse(full, empty, {})
    told = {"works": ["road"], "price": 3, "title": "x" * 300}
    times = [1767225500, 1767225550]
    assert first == Query(3, "u1", [3, "b"], told, {"device": ["car", "tv"], "volume": 0.5}, [9], 1767225600, times)
    assert second == third == Query(k=10)


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (None, 400, "the body is null; send a JSON object"),
        ([1], 400, "the body is a list"),
        ("x", 400, "the body is text"),
        ({}, 400, "instances is missing"),
        ({"instances": []}, 400, "instances is empty"),
        ({"instances": {}}, 400, "instances is an object"),
        ({"instance": []}, 400, "the body has the unknown key 'instance'; did you mean 'instances'?"),
        ({"instances": [{}] * 65}, 413, "65 queries, at most 64"),
        ({"instances": [3]}, 400, "instances[0] is a number"),
    ],
)
def test_a_wrong_body(body: Any, status: int, message: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        READER.request(body)
    assert message in str(caught.value)
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ({"hystory": [1]}, 400, "has the unknown key 'hystory'; did you mean 'history'?"),
        (
            {"zzz": 1},
            400,
            "unknown key 'zzz'; allowed: user_id, history, history_times, user, context, k, exclude, item_id, ",
        ),
        ({"k": 0}, 400, ".k is 0; it must be a whole number from 1 to 200 (serving.max_k)"),
        ({"k": 10**9}, 400, ".k is 1000000000; it must be"),
        ({"k": -1}, 400, ".k is -1"),
        ({"k": 2.5}, 400, ".k is 2.5"),
        ({"k": "10"}, 400, ".k is text"),
        ({"k": True}, 400, ".k is true or false"),
        ({"user_id": [7]}, 400, ".user_id is a list; an id must be text or a 64-bit integer"),
        ({"user_id": 1.5}, 400, ".user_id is a number; an id must be text or a 64-bit integer"),
        ({"user_id": 2**63}, 400, ".user_id is out of range"),
        ({"user_id": "u" * 257}, 413, ".user_id has a text of 257 characters"),
        ({"history": "1,2"}, 400, ".history is text; it must be a list of item ids"),
        ({"history": [1, None]}, 400, ".history[1] is null"),
        ({"history": [1, True]}, 400, ".history[1] is true or false"),
        ({"history": [1, [2]]}, 400, ".history[1] is a list"),
        ({"history": [1] * 1001}, 413, ".history has 1001 ids, at most 1000 are allowed (serving.max_history)"),
        ({"history_times": [5]}, 400, " has history_times without history; send both"),
        ({"history": [1, 2], "history_times": [5]}, 400, ".history_times has 1 times, instances[1].history has 2 ids"),
        (
            {"history": [1, 2, 3], "history_times": [5, 1767225600.5, 7]},
            400,
            ".history_times[2] is 7, before history_times[1], 1767225600.5; send the events in time order",
        ),
        ({"history": [1], "history_times": 5}, 400, ".history_times is a number; it must be a list of times"),
        ({"history": [1], "history_times": ["now"]}, 400, ".history_times[0] is text; a time is seconds since 1970"),
        ({"history": [1], "history_times": [None]}, 400, ".history_times[0] is null; a time is seconds"),
        ({"history": [1], "history_times": [1767225600000]}, 400, "[0] is 1767225600000; a time is seconds since 1970"),
        ({"history": [1], "history_times": [-1]}, 400, ".history_times[0] is -1; a time is"),
        ({"history": [1] * 1000, "history_times": [1] * 1001}, 413, ".history_times has 1001 times, at most 1000"),
        ({"exclude": {"a": 1}}, 400, ".exclude is an object"),
        ({"exclude": ["x" * 10_000]}, 413, ".exclude[0] has a text of 10000 characters"),
        ({"context": [1]}, 400, ".context is a list"),
        ({"context": {"devise": 1}}, 400, ".context has the unknown key 'devise'; did you mean 'device'?"),
        ({"context": {"volume": "loud"}}, 400, ".context.volume is text; it must be a number or null"),
        ({"context": {"device": {"a": 1}}}, 400, ".context.device is or contains an object"),
        ({"context": {"device": [["a"]]}}, 400, ".context.device is or contains a list"),
        ({"user": "road"}, 400, ".user is text; it must be an object"),
        ({"user": {"titel": "x"}}, 400, ".user has the unknown key 'titel'; did you mean 'title'?"),
        ({"user": {"price": "low"}}, 400, ".user.price is text; it must be a number or null"),
        ({"user": {"title": "x" * 20_001}}, 413, ".user.title has a text of 20001 characters, at most 20000"),
        ({"user": {"works": ["w" * 257]}}, 413, ".user.works has a text of 257 characters, at most 256"),
        (
            {"objective": {"likd": 1}},
            400,
            ".objective has the unknown key 'likd'; did you mean 'liked'? allowed: positive, ",
        ),
        (
            {"objective": {"liked": 0}},
            400,
            ".objective has no weight other than 0; send an object of weights of positive, ",
        ),
        (
            {"objective": {}},
            400,
            ".objective has no weight other than 0; send an object of weights of positive, liked, ",
        ),
        ({"objective": {"liked": 1e300}}, 400, ".objective.liked is 1e+300; a weight is a number from -100 to 100"),
        ({"objective": {"liked": float("nan")}}, 400, ".objective.liked is not a finite number; a weight is a number"),
        ({"objective": {"liked": "2"}}, 400, ".objective.liked is text; a weight is a number from -100 to 100"),
        (
            {"objective": [1]},
            400,
            '.objective is a list; it is an object of weights of positive, liked, like {"liked": 1}',
        ),
        ({"time": "now"}, 400, ".time is text; it is seconds since 1970"),
        ({"time": -1}, 400, ".time is -1; it is seconds since 1970"),
        ({"time": 1767225600000}, 400, ".time is 1767225600000; it is seconds since 1970 (not milliseconds)"),
        ({"context": {"volume": float("nan")}}, 400, ".context.volume is not a finite number; it must be a number"),
        ({"context": {"volume": True}}, 400, ".context.volume is true or false; it must be a number"),
    ],
)
def test_a_wrong_query(query: dict[str, Any], status: int, message: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        parse({}, query)
    assert str(caught.value).startswith("instances[1]")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.status == status


def test_the_default_k_stays_below_the_largest() -> None:
    (query,) = QueryReader(Serving(default_k=50, max_k=20), SCHEMA).request({"instances": [{}]})
    assert query.k == 20


@pytest.mark.parametrize(
    "body",
    [
        b'{"instances": [{"k": 1}], "instances": [{"k": 2}]}',
        b'{"instances": [{"k": 1, "k": 1}]}',
        b'{"instances": [{}, {"context": {"device": "a:b", "volume": 1, "device": "c"}}]}',
        b'{"instances": [{"user": {"price": 1, "price": 1}}]}',
    ],
)
def test_a_key_twice_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequestError, match=r"has the key '(instances|k|device|price)' twice in one object"):
        READER.request(body)


def test_a_colon_in_a_text_is_no_key() -> None:
    (query,) = READER.request(b'{"instances": [{"context": {"device": "\\"device\\": \\"device\\":"}}]}')
    assert query.context == {"device": '"device": "device":'}


def test_thousands_of_mistakes_get_one_message() -> None:
    body = {"instances": [{f"key{i}": 1 for i in range(5000)}]}
    with pytest.raises(BadRequestError, match=r"^the body has 5000 unknown keys or wrong values$"):
        READER.request(body)


def test_the_bytes_before_utf_8_that_windows_writes_are_read_over() -> None:
    assert READER.request(b'\xef\xbb\xbf{"instances": [{"k": 3}]}') == [Query(k=3)]


def test_texts_are_queries_each() -> None:
    assert READER.texts([b'{"k": 3}', '{"user_id": "ü"}']) == [Query(k=3), Query(k=10, user_id="ü")]
    with pytest.raises(BadRequestError, match="instances has 65 queries, at most 64 are allowed"):
        READER.texts(["{}"] * 65)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
QUERY = st.dictionaries(st.sampled_from(["user_id", "history", "context", "k", "exclude", "time", "kk"]), JSON)


@given(st.dictionaries(st.just("instances"), JSON | st.lists(QUERY, max_size=3)) | JSON)
def test_any_json_is_read_or_refused(body: Any) -> None:
    try:
        queries = READER.request(json.dumps(body).encode())
    except BadRequestError:
        return
    assert all(1 <= query.k <= LIMITS.max_k for query in queries)
