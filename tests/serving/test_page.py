"""Several rows of a page in one request: no item twice, and every row full while there are items."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from asking import JSON, post
from hypothesis import given, settings
from hypothesis import strategies as st
from released import NUM_USERS

from benchmarks.made_release import make_release
from shortlist.answer.encode import stored_history
from shortlist.answer.query import Query
from shortlist.answer.refusal import BadRequestError
from shortlist.answer.release_recommender import ReleaseRecommender
from shortlist.client import AsyncClient, Client
from shortlist.ranking.ranker import Ranker
from shortlist.recommend.request import RankingRequest
from shortlist.serving.local import LocalService
from shortlist.serving.transformer.service import Service

FEW = 40
"""Items of a release in which rows come short."""


class InThisProcess:
    """A predictor without a network."""

    def __init__(self, release: Path, recommender: ReleaseRecommender) -> None:
        self.ranker = Ranker.open(release / "ranking", release / "retrieval", recommender.release.store)

    async def scores(self, request: RankingRequest, seconds: float) -> Any:
        return self.ranker.score(request)


def opened(release: Path) -> Service:
    recommender = ReleaseRecommender.open(release)
    return Service(recommender, InThisProcess(release, recommender))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def many(release: Path) -> Service:
    return opened(release)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Service:
    folder = tmp_path_factory.mktemp("few") / "made"
    make_release(folder, num_items=FEW, num_users=NUM_USERS, history_length=5, serving="{deadline_ms: 20000}")
    return opened(folder)


def ask(service: Service, *instances: dict[str, Any]) -> list[Any]:
    queries = service.release.reader.request({"instances": list(instances)})
    return asyncio.run(service.answer(queries))


def ids(prediction: Any) -> list[Any]:
    return [item["item_id"] for item in prediction["items"]]


def test_a_page_beside_plain_queries(many: Service) -> None:
    alone, page, other = ask(
        many,
        {"user_id": 7, "k": 4},
        {"user_id": 7, "k": 3, "rows": [{"name": "for you", "k": 4}, {"item_id": 1003}, {"rules": {"pin": [1100]}}]},
        {"item_id": 1003, "k": 2},
    )
    assert len(ids(alone)) == 4
    assert (len(ids(other)), other["item"]["item_id"]) == (2, 1003)
    assert page.keys() == {"rows"}
    first, second, third = page["rows"]
    assert ids(first) == ids(alone)
    assert (first["name"], "name" in second) == ("for you", False)
    assert second["source"] == "item"
    assert ids(third)[0] == 1100
    assert [len(ids(row)) for row in page["rows"]] == [4, 3, 3]
    assert len({item for row in page["rows"] for item in ids(row)}) == 10


def test_a_row_has_the_next_items_of_its_own_list(many: Service) -> None:
    """Equal rows continue one another, and a row that shares nothing is the list that it would be alone."""
    (whole,) = ask(many, {"user_id": 7, "k": 12, "time": 0})
    (page,) = ask(many, {"user_id": 7, "k": 4, "time": 0, "rows": [{}, {}, {}]})
    assert [item for row in page["rows"] for item in ids(row)] == ids(whole)


def test_keys_of_the_page_hold_for_rows_that_do_not_set_them(many: Service) -> None:
    (plain,) = ask(many, {"user_id": 7, "k": 5})
    first, second, third = ids(plain)[:3]
    (page,) = ask(
        many,
        {
            "user_id": 7,
            "k": 2,
            "exclude": [first],
            "rules": {"only": [first, second, third, 1003]},
            "rows": [{"exclude": [second]}, {"k": 1, "rules": {"only": [first, second]}}, {"rules": {}, "k": None}],
        },
    )
    assert third in ids(page["rows"][0])
    assert not {first, second} & set(ids(page["rows"][0]))
    assert ids(page["rows"][1]) == [second]
    assert len(ids(page["rows"][2])) == 2
    assert first not in ids(page["rows"][2])


def test_because_you_took_the_last_item(many: Service) -> None:
    store = many.release.store
    last = int(store.items.values(stored_history(store, 7)[-1:])[0])
    sent, stored, unknown, named = ask(
        many,
        {"history": [1003, "1017"], "rows": [{"similar_to_last": True, "k": 3}]},
        {"user_id": 7, "similar_to_last": True, "k": 3},
        {"user_id": 10**6, "similar_to_last": True, "k": 3},
        {"user_id": 7, "item_id": last, "k": 3},
    )
    (row,) = sent["rows"]
    assert row["item"] == {"item_id": "1017", "title": "Title 17"}  # an id was written as text
    assert stored["item"]["item_id"] == last
    assert stored["source"] == "item"
    assert ids(stored) == ids(named)
    assert "item" not in unknown
    assert unknown["source"] == "popularity"
    assert len(ids(unknown)) == 3


def test_a_row_replaces_the_item_of_the_page(many: Service) -> None:
    (one, other) = ask(
        many,
        {"user_id": 7, "item_id": 1003, "rows": [{"similar_to_last": True, "k": 1}, {"k": 1}]},
        {
            "user_id": 7,
            "similar_to_last": True,
            "rows": [{"item_id": 1003, "k": 1}, {"similar_to_last": False, "k": 1}],
        },
    )
    assert one["rows"][0]["item"] != one["rows"][1]["item"]
    assert one["rows"][1]["item"]["item_id"] == 1003
    assert other["rows"][0]["item"]["item_id"] == 1003
    assert "item" not in other["rows"][1]


items = st.integers(1000, 1000 + FEW - 1)
rules = st.fixed_dictionaries(
    {},
    optional={
        "at_most": st.dictionaries(st.sampled_from(["artist", "genres"]), st.integers(1, 3), min_size=1),
        "only": st.lists(items, min_size=1, max_size=20),
        "diversity": st.sampled_from([0.0, 0.5]),
        "boost": st.just([{"where": "artist IS NOT NULL", "by": 1.0}]),
    },
)
rows = st.fixed_dictionaries(
    {"k": st.integers(1, 15)},
    optional={
        "rules": rules,
        "item_id": items,
        "similar_to_last": st.just(True),
        "exclude": st.lists(items, max_size=3),
    },
).filter(lambda row: not ("item_id" in row and "similar_to_last" in row))


@settings(max_examples=150, deadline=None)
@given(st.integers(1, NUM_USERS), st.lists(rows, min_size=1, max_size=5))
def test_every_row_is_as_long_as_what_is_left_allows(few: Service, user: int, page: list[dict[str, Any]]) -> None:
    """As long as a list of its own would be that excludes what the rows before it show."""
    (answer,) = ask(few, {"user_id": user, "time": 0, "rows": page})
    before: list[int] = []
    for row, found in zip(page, answer["rows"], strict=True):
        (alone,) = ask(few, {"user_id": user, "time": 0, **row, "exclude": [*row.get("exclude", []), *before]})
        assert len(ids(found)) == len(ids(alone))
        assert not set(before) & set(ids(found))
        if "rules" not in row:
            assert ids(found) == ids(alone)
        before += ids(found)


def test_a_row_with_limits_is_searched_again(few: Service) -> None:
    """Each of the items of an artist that the first row shows takes the place of another one of the artist."""
    store = few.release.store
    artists = store.item_categorical["artist"][1:, 0]
    (artist,) = [one for one in set(artists.tolist()) if one and (artists == one).sum() > 3][:1]
    of_artist = [int(one) for one in store.items.values((artists == artist).nonzero()[0] + 1)]
    (answer,) = ask(
        few,
        {
            "history": [1000],
            "rules": {"only": of_artist},
            "rows": [{"k": 2}, {"k": 2, "rules": {"only": of_artist, "at_most": {"artist": 1}}}],
        },
    )
    assert [len(ids(row)) for row in answer["rows"]] == [2, 1]


def test_a_pin_that_an_earlier_row_shows_is_not_shown_again(few: Service) -> None:
    pin = {"pin": [1005, 1006], "at_most": {"genres": 2}}
    (answer,) = ask(few, {"history": [1000], "k": 5, "rows": [{"rules": {"pin": [1006]}}, {"rules": pin}]})
    assert ids(answer["rows"][0])[0] == 1006
    assert ids(answer["rows"][1])[0] == 1005
    assert len({*ids(answer["rows"][0]), *ids(answer["rows"][1])}) == 10


@pytest.mark.parametrize(
    ("instance", "status", "message"),
    [
        ({"rows": []}, 400, r"instances\[0\]\.rows is empty; it must be a list of rows"),
        ({"rows": 3}, 400, r"instances\[0\]\.rows is a number; it must be a list of rows"),
        ({"rows": [{}] * 21}, 413, r"instances\[0\]\.rows has 21 rows, at most 20 are allowed"),
        ({"rows": [{}, 7]}, 400, r"instances\[0\]\.rows\[1\] is a number; a row must be an object like"),
        ({"rows": [{"k": 0}]}, 400, r"instances\[0\]\.rows\[0\]\.k is 0; it must be a whole number from 1 to"),
        ({"rows": [{"nam": "x"}]}, 400, r"rows\[0\] has the unknown key 'nam'; did you mean 'name'\? allowed: name, k"),
        ({"rows": [{"user_id": 7}]}, 400, r"rows\[0\] has the unknown key 'user_id'"),
        ({"rows": [{"name": 7}]}, 400, r"rows\[0\]\.name is a number; it must be text"),
        ({"rows": [{"name": "x" * 300}]}, 413, r"rows\[0\]\.name has a text of 300 characters"),
        ({"rows": [{"similar_to_last": 1}]}, 400, r"rows\[0\]\.similar_to_last is 1; it is true or false"),
        ({"rows": [{}, {"rules": {"where": "x = 1"}}]}, 400, r"rows\[1\]\.rules\.where: items have no attribute 'x'"),
        ({"rows": [{"rules": {"wher": "x"}}]}, 400, r"rows\[0\]\.rules has the unknown key 'wher'"),
        ({"item_id": 1, "similar_to_last": True}, 400, r"instances\[0\] has item_id and similar_to_last; send one"),
        ({"rows": [{"item_id": 1, "similar_to_last": True}]}, 400, r"rows\[0\] has item_id and similar_to_last"),
    ],
)
def test_a_wrong_page_is_refused(many: Service, instance: dict[str, Any], status: int, message: str) -> None:
    with pytest.raises(BadRequestError, match=message) as refused:
        ask(many, instance)
    assert refused.value.status == status


def test_queries_and_rows_are_limited_together(many: Service) -> None:
    with pytest.raises(BadRequestError, match="instances has 65 queries and rows, at most 64 are allowed together"):
        ask(many, {"rows": [{}] * 20}, {"rows": [{}] * 20}, {"rows": [{}] * 20}, *[{}] * 5)


def test_one_query_of_a_batch_is_no_page(many: Service) -> None:
    with pytest.raises(BadRequestError, match=r"query\.rows: a page cannot be asked for here"):
        many.release.reader.query({"rows": [{}]}, "query")
    assert many.release.reader.query({"rows": None, "k": 3}, "query") == Query(k=3)


def test_all_protocols_and_clients(service: LocalService) -> None:
    page = {"user_id": 7, "time": 0, "rows": [{"name": "a", "k": 3}, {"similar_to_last": True, "k": 2}]}
    status, body = post(service.url, json.dumps({"instances": [{"k": 1}, page]}).encode(), JSON)
    assert status == 200
    wanted = json.loads(body)["predictions"][1]["rows"]
    assert [len(row["items"]) for row in wanted] == [3, 2]
    tensor = {"name": "instances", "shape": [1], "datatype": "BYTES", "data": [json.dumps(page)]}
    url = service.url.replace("/v1/", "/v2/").replace(":predict", "/infer")
    status, body = post(url, json.dumps({"inputs": [tensor]}).encode(), JSON)
    (text,) = json.loads(body)["outputs"][0]["data"]
    address = f"http://127.0.0.1:{service.http_port}"
    with Client(address, deadline=30) as client:
        sync = client.page(**page)

    async def one() -> list[Any]:
        async with AsyncClient(address, deadline=30) as client:
            return [*await client.page(**page)]

    for found in (json.loads(text)["rows"], sync, asyncio.run(one())):
        assert [ids(row) for row in found] == [ids(row) for row in wanted]
