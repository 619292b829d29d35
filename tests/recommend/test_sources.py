"""What every candidate source promises, alone and blended."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answering import Answering
from hand_made import HISTORY_LENGTH, item_vectors, recipe_of, write_ranking, write_release, write_store
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from shortlist.answer.query import Query
from shortlist.answer.refusal import BadRequestError
from shortlist.answer.release_recommender import ReleaseRecommender
from shortlist.features.availability import Availability
from shortlist.ranking.ranker import Ranker
from shortlist.recommend.sources.blend import blend_lists
from shortlist.statistics.find_neighbours import find_neighbours
from shortlist.statistics.item_statistics import ItemStatistics
from shortlist.statistics.recent_popularity import recent_popularity
from shortlist.statistics.user_knn import UserKNN

NUM_ITEMS, CANDIDATES, TIME, DAY = 80, 12, 90 * 86_400, 86_400
GONE = 77
"""Item row that is not available any more."""
GENRES = [[1 + row % 3 if row % 10 else 0] for row in range(1, NUM_ITEMS + 1)]
HISTORIES = [np.random.default_rng(size).integers(1, NUM_ITEMS + 1, size).tolist() for size in (1, 5, 30, 55, 20, 40)]
KINDS: list[dict[str, Any]] = [
    {"kind": "two_tower"},
    {"kind": "item_neighbours"},
    {"kind": "item_neighbours", "by": "transitions", "name": "next_items"},
    {"kind": "user_neighbours"},
    {"kind": "user_neighbours", "neighbours": 3, "reach": 20, "draw": 5, "name": "drawn"},
    {"kind": "trending", "half_life": "1d"},
    {"kind": "new_items", "within": "30d"},
    {"kind": "same_attribute", "of": "genre"},
    {"kind": "given", "items": [30, 10, 999, 20, 770]},
    {"kind": "repeats"},
    {"kind": "repeats", "by": "time", "name": "repeats_by_time"},
    {"kind": "repeats", "by": "time", "half_life": "1d", "name": "repeats_of_late"},
]
TIMES = [[TIME - 3 * DAY * (len(one) - at) for at in range(len(one))] for one in HISTORIES]
"""An event every three days, the last one three days ago."""
COLD = [{"kind": "trending", "half_life": "1d"}, {"kind": "new_items", "within": "30d"}]
REPEATS = [one.get("name", one["kind"]) for one in KINDS if one["kind"] == "repeats"]
NAMES = [one.get("name", one["kind"]) for one in KINDS] + ["popularity"]


class Service(Answering):
    """A release of 80 items, the later ones newer, every seventh unknown to the towers."""

    def __init__(self, folder: Path, blend: str, sources: list[dict[str, Any]] = KINDS) -> None:
        recipe = recipe_of(
            ranking={"candidates": CANDIDATES},
            serving={"max_k": 100},
            split={"kind": "temporal", "test": "7d", "valid": "7d"},
            features={"item": {"categorical": [{"name": "genre"}]}},
            candidates={"sources": sources, "unknown": COLD, "blend": blend},
        )
        start, end = np.arange(NUM_ITEMS + 1) * DAY, np.full(NUM_ITEMS + 1, 10**9)
        end[GONE] = 5
        available = Availability(start, end)
        store = write_store(folder / "store", HISTORIES, NUM_ITEMS, genres=GENRES, available=available, times=TIMES)
        self.store = store
        release = write_release(folder / "release", store, item_vectors(NUM_ITEMS), recipe)
        users = np.repeat(np.arange(1, len(HISTORIES) + 1), [len(one) for one in HISTORIES])
        items = np.concatenate(HISTORIES)
        ItemStatistics(
            find_neighbours(users, items, NUM_ITEMS + 1, 50),
            UserKNN.of(users, items, NUM_ITEMS + 1),
            recent_popularity(items, np.arange(len(items)) * 3_600, NUM_ITEMS + 1, [DAY]),
        ).save(release / "index")
        retrieval, ranking = release / "retrieval", release / "ranking"
        write_ranking(ranking, retrieval, store, score_weight=-1, num_sources=len(KINDS))
        np.save(retrieval / "known.npy", np.arange(NUM_ITEMS + 1) % 7 != 0)
        self.ranker = Ranker.open(ranking, retrieval, store)
        self.recommender = ReleaseRecommender.open(release)


@pytest.fixture(scope="module", params=["quotas", "reciprocal_rank"])
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Service:
    return Service(tmp_path_factory.mktemp("sources"), request.param)


ITEM = st.integers(1, NUM_ITEMS).map(lambda row: 10 * row)
QUERY = st.builds(
    Query,
    k=st.integers(1, NUM_ITEMS + 5),
    user_id=st.none() | st.integers(1, 8),
    history=st.none() | st.lists(ITEM, max_size=8),
    exclude=st.lists(ITEM, max_size=20),
    rules=st.fixed_dictionaries({}, optional={"where": st.just("genre = 'g1'"), "pin": st.lists(ITEM, max_size=2)}),
    sources=st.none() | st.frozensets(st.sampled_from(NAMES), min_size=1, max_size=4),
    time=st.just(TIME),
)


def clean(query: Query) -> bool:
    """Whether the rules do not contradict each other."""
    pins = query.rules.get("pin", [])
    fits = all(GENRES[pin // 10 - 1] == [1] for pin in pins) if "where" in query.rules else True
    return len(set(pins)) == len(pins) and not set(pins) & set(query.exclude) and fits


@settings(max_examples=150, deadline=None)
@given(query=QUERY.filter(clean))
def test_a_list_of_any_sources_is_clean(service: Service, query: Query) -> None:
    rows = service.rows(query)
    pins = [item // 10 for item in query.rules.get("pin", [])]
    assert len(set(rows)) == len(rows)
    assert not set(rows) & {item // 10 for item in query.exclude}
    assert GONE not in rows
    if "where" in query.rules:
        assert all(GENRES[row - 1] == [1] for row in rows)
    user = query.user_id if isinstance(query.user_id, int) and query.user_id <= len(HISTORIES) else None
    seen = {*(item // 10 for item in query.history or []), *(HISTORIES[user - 1] if user else [])}
    answered = service.answers([query])[0]["items"]
    for item in answered:
        if item["source"] not in (*REPEATS, "pinned"):
            assert item["item_id"] // 10 not in seen or item["item_id"] // 10 in pins
    if query.sources is None:
        can = {row for row in range(1, NUM_ITEMS + 1) if row != GONE} - {item // 10 for item in query.exclude}
        if "where" in query.rules:
            can = {row for row in can if GENRES[row - 1] == [1]}
        assert len(rows) >= min(query.k, len(can - seen)), "k come back whenever there are k"
    else:
        assert {item["source"] for item in answered} <= query.sources | {"pinned"}


@settings(max_examples=100, deadline=None)
@given(user=st.integers(1, len(HISTORIES)), most=st.integers(1, 12), k=st.integers(1, NUM_ITEMS))
def test_a_limit_searches_for_more_and_finds_no_item_twice(service: Service, user: int, most: int, k: int) -> None:
    rows = service.rows(Query(k=k, user_id=user, rules={"at_most": {"genre": most}}, time=TIME))
    assert len(set(rows)) == len(rows)
    counts = np.bincount([GENRES[row - 1][0] for row in rows], minlength=4)
    assert counts[1:].max() <= most
    if len(rows) < k:
        left = set(range(1, NUM_ITEMS + 1)) - {GONE} - set(HISTORIES[user - 1]) - set(rows)
        assert all(GENRES[row - 1][0] and counts[GENRES[row - 1][0]] == most for row in left)


@settings(max_examples=60, deadline=None)
@given(queries=st.lists(QUERY.filter(clean), min_size=2, max_size=4))
def test_a_batch_gets_what_each_query_gets_alone(service: Service, queries: list[Query]) -> None:
    for ranked in (True, False):
        together = service.answers(queries, ranked=ranked)
        alone = [service.answers([query], ranked=ranked)[0] for query in queries]
        for one, other in zip(together, alone, strict=True):
            assert [(i["item_id"], i["source"]) for i in one["items"]] == [
                (i["item_id"], i["source"]) for i in other["items"]
            ]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "popularity"])
def test_each_source_alone_gives_its_own_items(service: Service, name: str) -> None:
    query = Query(k=10, user_id=3, sources=frozenset([name]), time=TIME, trace=True)
    answer = service.answers([query], ranked=False)[0]
    assert answer["items"], f"{name} finds nothing"
    assert {item["source"] for item in answer["items"]} == {name}
    assert all(item["found_by"] == [name] for item in answer["items"])
    scores = [item["score"] for item in answer["items"]]
    assert scores == sorted(scores, reverse=True)


def test_what_each_source_finds(service: Service) -> None:
    def rows(name: str, **query: Any) -> list[int]:
        return service.rows(Query(k=80, sources=frozenset([name]), time=TIME, **query), ranked=False)

    history = [10, 20, 30]
    assert rows("given", user_id=1) == [3, 1, 2], "the unknown and the unavailable item are left out"
    assert rows("repeats", history=[*history, 10]) == [1, 3, 2], "often and lately first"
    assert rows("new_items") == [row for row in range(NUM_ITEMS, 60, -1) if row != GONE]
    assert {GENRES[row - 1][0] for row in rows("same_attribute", history=[10])} == {2}
    latest = HISTORIES[-1][-1]
    assert rows("trending")[0] == latest or latest == GONE


def found(service: Service, name: str, history: list[int], days: list[float] | None) -> dict[int, float]:
    """Item row -> score of a source for a history of events so many days ago, best first."""
    times = None if days is None else [int(TIME - DAY * one) for one in days]
    query = Query(k=80, sources=frozenset([name]), history=history, history_times=times, time=TIME)
    part = service.recommender.find([query]).candidates.ranked
    assert part is not None
    assert part.found.members_AKS is not None
    members_K = part.found.members_AKS[0, :, NAMES.index(name)]
    return {row: score for row, score in zip(part.found.rows_AK[0].tolist(), members_K.tolist(), strict=True) if row}


def test_by_time_an_event_weighs_by_its_age(service: Service) -> None:
    history, days = [10, 20, 10], [99, 8, 3]
    by_time = {1: 100**-0.5 + 4**-0.5, 2: 9**-0.5}
    assert found(service, "repeats_by_time", history, days) == pytest.approx(by_time)
    of_late = {1: 100**-0.5 * 2**-99 + 4**-0.5 * 2**-3, 2: 9**-0.5 * 2**-8}
    assert found(service, "repeats_of_late", history, days) == pytest.approx(of_late)
    assert list(found(service, "repeats_by_time", [10, 10, 20], [400, 300, 1])) == [2, 1], "lately beats often"
    assert found(service, "repeats_by_time", [10], [-3]) == {1: 1.0}, "a clock that is ahead is now"


def test_without_times_one_event_a_day_is_assumed_which_is_the_order_of_the_events(service: Service) -> None:
    history = [10, 40, 20, 999, 40]
    assumed = found(service, "repeats_by_time", history, None)
    assert assumed == found(service, "repeats_by_time", [10, 40, 20, 40], [3, 2, 1, 0])
    by_events = found(service, "repeats", history, None)
    assert list(assumed) == list(by_events)
    assert by_events == pytest.approx({row: score / sum(assumed.values()) for row, score in assumed.items()})


def test_a_stored_history_has_its_stored_times(service: Service) -> None:
    for user, (history, times) in enumerate(zip(HISTORIES, TIMES, strict=True), 1):
        sent = Query(k=20, history=[10 * row for row in history], history_times=times, time=TIME, user_id=user)
        stored = Query(k=20, user_id=user, time=TIME)
        for name in NAMES:
            chosen = [replace(query, sources=frozenset([name])) for query in (sent, stored)]
            assert service.rows(chosen[0]) == service.rows(chosen[1])
        requests = [service.recommender.find([query]).request for query in (sent, stored)]
        assert requests[0] is not None
        assert requests[1] is not None
        assert requests[0].to_bytes("r") == requests[1].to_bytes("r")
        ages_EL = requests[0].history_age_EL
        assert ages_EL is not None
        last = min(len(history), HISTORY_LENGTH)
        assert ages_EL[0, :last].tolist() == [3 * back for back in range(last, 0, -1)]


def test_features_of_a_recipe_that_read_no_times_are_refused(service: Service, tmp_path: Path) -> None:
    release = shutil.copytree(service.recommender.release.folder, tmp_path / "release")
    (release / "features/history/times.npy").unlink()
    with pytest.raises(ValueError, match=r"no history/times\.npy, which the source 'repeats_by_time' reads"):
        ReleaseRecommender.open(release)


def test_cold_start_is_a_stated_source(service: Service) -> None:
    answer = service.answers([Query(k=10, time=TIME, trace=True)])[0]
    assert [item["source"] for item in answer["items"][:4]] == ["trending", "new_items", "trending", "new_items"]
    assert all(item["source"] in item["found_by"] for item in answer["items"])


def test_an_unknown_source_is_refused(service: Service) -> None:
    with pytest.raises(BadRequestError, match=r"instances\[0\]\.sources has 'magic'; this release has .*new_items"):
        service.answers([Query(k=3, sources=frozenset(["magic"]))])


def test_quotas_are_kept_and_what_a_source_cannot_use_is_filled() -> None:
    rows = np.array([[[1, 2, 3, 4, 5, 6, 7, 8], [11, 12, 13, 14, 15, 16, 17, 18], [1, 21, 0, 0, 0, 0, 0, 0]]])
    scores = np.where(rows > 0, np.float32(1) / (1 + np.arange(8, dtype=np.float32)), np.float32(-np.inf))
    found = blend_lists(rows, scores, np.array([2.0, 1.0, 1.0]), "quotas", np.array([8]))
    assert found.lead_AK is not None
    assert found.members_AKS is not None
    assert found.rows_AK.tolist() == [[1, 11, 2, 3, 12, 21, 4, 5]]
    assert np.bincount(found.lead_AK[0]).tolist() == [5, 2, 1]
    assert np.isfinite(found.members_AKS[0, 0]).tolist() == [True, False, True], "two sources found item 1"
    assert (np.diff(found.scores_AK[0]) <= 0).all()


def test_reciprocal_rank_puts_what_several_sources_find_first() -> None:
    rows = np.array([[[1, 2, 3], [9, 3, 8]]])
    scores = np.ones(rows.shape, np.float32)
    found = blend_lists(rows, scores, np.array([1.0, 1.0]), "reciprocal_rank", np.array([5]))
    assert found.rows_AK[0].tolist() == [3, 1, 9, 2, 8]
    assert found.scores_AK[0, 0] == pytest.approx(0.5 / 63 + 0.5 / 62)


@pytest.mark.parametrize(
    ("candidates", "message"),
    [
        ({"sources": [{"kind": "repeats"}, {"kind": "repeats"}]}, "two sources named 'repeats'"),
        ({"sources": [{"kind": "same_attribute", "of": "label"}]}, "'label' is not a category of features.item"),
        ({"sources": [{"kind": "trending"}]}, "needs split.kind temporal"),
        ({"sources": [{"kind": "repeats", "half_life": "7d"}]}, "half_life needs `by: time`"),
        ({"sources": [{"kind": "two_tower", "name": "pinned"}]}, "the name of a built-in source"),
        (
            {"sources": [{"kind": "new_items", "within": "3d"}], "unknown": [{"kind": "new_items"}]},
            "different sources named 'new_items'",
        ),
        ({"unknown": [{"kind": "item_neighbours"}]}, "candidates.unknown"),
    ],
)
def test_a_recipe_with_wrong_sources_is_refused(candidates: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        recipe_of(candidates=candidates)


def test_data_without_times_have_no_repeats_by_time() -> None:
    with pytest.raises(
        ValidationError, match=r"'repeats' needs times; interactions.time_unit is 'row': use by: events"
    ):
        recipe_of(
            candidates={"sources": [{"kind": "repeats", "by": "time"}]},
            interactions={"time_unit": "row"},
        )
