"""What rules promise holds for every request, and equally whoever asks."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answering import Answering
from hand_made import item_vectors, recipe_of, write_ranking, write_release, write_store
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shortlist.answer.query import Query
from shortlist.answer.refusal import BadRequestError
from shortlist.answer.release_recommender import ReleaseRecommender
from shortlist.features.availability import Availability
from shortlist.ranking.ranker import Ranker
from shortlist.recipe import Rules as RecipeRules
from shortlist.recommend.limits import Limit, within_limits
from shortlist.recommend.rules import RuleBook, RuleError

NUM_ITEMS, CANDIDATES, TIME = 80, 12, 3_600
GENRES = [[1 + row % 3 if row % 10 else 0, 4 if row % 8 == 0 else 0] for row in range(1, NUM_ITEMS + 1)]
"""g1 to g3 by turns, every tenth item without; every eighth has g4 too."""
GONE = 77
"""Item row that is not available any more."""


class Service(Answering):
    """A release of 80 items, of which the towers know six sevenths."""

    def __init__(self, folder: Path, rules: dict[str, Any] | None = None) -> None:
        rng = np.random.default_rng(5)
        histories = [rng.integers(1, NUM_ITEMS + 1, size).tolist() for size in (0, 1, 5, 30)]
        features = {"item": {"categorical": [{"name": "genre", "max_values": 2}]}}
        recipe = recipe_of(
            ranking={"candidates": CANDIDATES}, serving={"max_k": 100}, features=features, rules=rules or {}
        )
        until = np.full(NUM_ITEMS + 1, 10**9)
        until[GONE] = 5
        available = Availability(np.zeros(NUM_ITEMS + 1, np.int64), until)
        self.store = write_store(folder / "store", histories, NUM_ITEMS, genres=GENRES, available=available)
        self.vectors = item_vectors(NUM_ITEMS)
        release = write_release(folder / "release", self.store, self.vectors, recipe)
        retrieval, ranking = release / "retrieval", release / "ranking"
        write_ranking(ranking, retrieval, self.store, score_weight=-1)
        np.save(retrieval / "known.npy", np.arange(NUM_ITEMS + 1) % 7 != 0)
        self.ranker = Ranker.open(ranking, retrieval, self.store)
        self.recommender = ReleaseRecommender.open(release)

    def seen(self, query: Query) -> set[int]:
        known = isinstance(query.user_id, int) and 1 <= query.user_id <= 4
        start, end = self.store.history_bounds(np.array([query.user_id if known else 0]))
        return {*self.store.history_items[start[0] : end[0]].tolist(), *(item // 10 for item in query.history or [])}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Service:
    return Service(tmp_path_factory.mktemp("rules"))


ITEM = st.integers(1, NUM_ITEMS).map(lambda row: 10 * row)
WHERE = {
    "genre = 'g1'": lambda genres: 1 in genres,
    "genre IN ('g2', 'g4')": lambda genres: bool({2, 4} & set(genres)),
    "genre IS NULL OR NOT genre = 'g3'": lambda genres: 3 not in genres,
}
RULES = st.fixed_dictionaries(
    {},
    optional={
        "where": st.sampled_from(sorted(WHERE)),
        "only": st.lists(ITEM, min_size=1, max_size=40),
        "boost": st.lists(
            st.fixed_dictionaries({"where": st.sampled_from(sorted(WHERE)), "by": st.floats(-3, 3)}), max_size=2
        ),
        "at_most": st.fixed_dictionaries({"genre": st.integers(1, 4)}),
        "diversity": st.sampled_from([0.0, 0.3, 1.0]),
    },
)
QUERY = st.builds(
    Query,
    k=st.integers(1, NUM_ITEMS + 5),
    user_id=st.none() | st.integers(1, 6),
    history=st.none() | st.lists(ITEM, max_size=8),
    exclude=st.lists(ITEM, max_size=20),
    item_id=st.none() | st.integers(1, NUM_ITEMS + 3).map(lambda row: 10 * row),
    rules=RULES,
    time=st.just(TIME),
)


def allowed(service: Service, query: Query) -> list[int]:
    """All rows that may be listed, by the rules as they are written."""
    left = set(range(1, NUM_ITEMS + 1)) - {GONE} - service.seen(query) - {item // 10 for item in query.exclude}
    if "where" in query.rules:
        left = {row for row in left if WHERE[query.rules["where"]](GENRES[row - 1])}
    if "only" in query.rules:
        left &= {item // 10 for item in query.rules["only"]}
    return sorted(left - {(query.item_id or 0) // 10})


@settings(max_examples=150, deadline=None)
@given(query=QUERY)
@example(query=Query(k=5, history=[360], rules={"at_most": {"genre": 1}}, time=TIME))  # the ranker's order fits fewer
def test_lists_keep_to_the_rules_and_are_full(service: Service, query: Query) -> None:
    where, only = query.rules.get("where"), query.rules.get("only")
    if where and only and not any(WHERE[where](GENRES[item // 10 - 1]) for item in only):
        with pytest.raises(BadRequestError, match="no item matches"):
            service.rows(query)
        return
    rows = service.rows(query)
    left = allowed(service, query)
    assert len(set(rows)) == len(rows)
    assert set(rows) <= set(left)
    most = query.rules.get("at_most", {}).get("genre")
    if most is None:
        assert len(rows) == min(query.k, len(left))
        return
    for genre in range(1, 5):
        assert sum(genre in GENRES[row - 1] for row in rows) <= most
    if len(rows) < query.k:  # then nothing more fits
        counts = {genre: sum(genre in GENRES[row - 1] for row in rows) for genre in range(1, 5)}
        for row in set(left) - set(rows):
            assert any(genre and counts[genre] >= most for genre in GENRES[row - 1]), row


@settings(max_examples=60, deadline=None)
@given(queries=st.lists(QUERY, min_size=2, max_size=4))
def test_a_query_of_several_gets_what_it_gets_alone(service: Service, queries: list[Query]) -> None:
    try:
        alone = [service.rows(query) for query in queries]
    except BadRequestError:
        return
    together = [[item["item_id"] // 10 for item in one["items"]] for one in service.answers(queries)]
    assert together == alone


def test_without_rules_nothing_changes(service: Service) -> None:
    plain = service.answers([Query(k=30, user_id=3, time=TIME)])[0]["items"]
    ruled = Query(k=30, user_id=3, time=TIME, rules={"diversity": 0.0, "at_most": {}, "boost": []})
    assert service.answers([ruled])[0]["items"] == plain
    assert [item["score"] for item in plain] == sorted((item["score"] for item in plain), reverse=True)


def test_a_boost_lifts_and_lowers(service: Service) -> None:
    query = Query(k=10, user_id=3, time=TIME)
    for by, better in ((50, True), (-50, False)):
        rules = {"boost": [{"where": "genre = 'g1'", "by": by}]}
        rows = service.rows(Query(k=CANDIDATES, user_id=3, time=TIME, rules=rules))
        lifted = [1 in GENRES[row - 1] for row in rows]
        assert lifted == sorted(lifted, reverse=better)
        assert sorted(rows) == sorted(service.rows(Query(k=CANDIDATES, user_id=3, time=TIME)))
    assert service.rows(query) == service.rows(query)


def test_pins_come_first_also_where_they_were_seen(service: Service) -> None:
    seen = sorted(service.seen(Query(k=1, user_id=3)))[0]
    pins = [10 * seen, 10 * GONE, 630, 99_990]
    (answer,) = service.answers([Query(k=5, user_id=3, time=TIME, rules={"pin": pins})])
    rows = [item["item_id"] // 10 for item in answer["items"]]
    assert rows[:2] == [seen, 63]
    assert [item["source"] for item in answer["items"]] == ["pinned", "pinned", "two_tower", "two_tower", "two_tower"]
    assert len(set(rows)) == 5
    assert answer["unknown_rules"] == 1
    scores = [item["score"] for item in answer["items"]]
    assert scores[0] == scores[1] == scores[2] == max(scores)
    assert service.rows(Query(k=1, user_id=3, time=TIME, rules={"pin": pins})) == [seen]


def test_pins_count_for_at_most(service: Service) -> None:
    rules = {"pin": [10, 40], "at_most": {"genre": 1}}
    rows = service.rows(Query(k=3, user_id=None, history=[20], time=TIME, rules=rules))
    assert rows[:2] == [1, 4]  # both of g2: what is pinned is listed
    assert 2 not in GENRES[rows[2] - 1]


def test_rare_items_are_found_when_a_limit_leaves_nothing_else(service: Service) -> None:
    """One item of each genre fits; what is left are the items without a genre, wherever the search finds them."""
    rules = {"at_most": {"genre": 1}}
    for user in (2, 3, 4):
        rows = service.rows(Query(k=12, user_id=user, time=TIME, rules=rules))
        free = {row for row in range(10, NUM_ITEMS + 1, 10) if not any(GENRES[row - 1])}
        unseen = free - service.seen(Query(k=1, user_id=user))
        assert unseen <= set(rows)


@pytest.mark.parametrize("most", [None, 2])
def test_diversity_is_maximal_marginal_relevance_of_what_fits(service: Service, most: int | None) -> None:
    pool = service.answers([Query(k=CANDIDATES, history=[10, 20], time=TIME)])[0]["items"]
    rows, scores = [item["item_id"] // 10 for item in pool], np.array([item["score"] for item in pool])
    relevance = (scores - scores.min()) / (scores.max() - scores.min())
    similar = service.vectors[np.array(rows) - 1] @ service.vectors[np.array(rows) - 1].T
    genres = [{*GENRES[row - 1]} - {0} for row in rows]
    chosen: list[int] = []
    for _ in range(6):
        full = {g for g in range(1, 5) if most and sum(g in genres[j] for j in chosen) >= most}
        gains = [
            -np.inf
            if i in chosen or genres[i] & full
            else 0.4 * relevance[i] - 0.6 * max((similar[i, j] for j in chosen), default=-1.0)
            for i in range(len(rows))
        ]
        chosen.append(int(np.argmax(gains)))
    rules = {"diversity": 0.6} | ({"at_most": {"genre": most}} if most else {})
    assert service.rows(Query(k=6, history=[10, 20], time=TIME, rules=rules)) == [rows[i] for i in chosen]


def test_similar_items_are_the_nearest_vectors(service: Service) -> None:
    (answer,) = service.answers([Query(k=5, item_id=50, time=TIME)])
    similarity = service.vectors @ service.vectors[4]
    similarity[[4, GONE - 1]] = -np.inf
    similarity[6::7] = -np.inf  # unknown to the towers
    assert [item["item_id"] // 10 - 1 for item in answer["items"]] == np.argsort(-similarity)[:5].tolist()
    assert answer["source"] == "item"
    assert {item["source"] for item in answer["items"]} == {"similar_items"}
    for unknown in (70, 99_990):
        (answer,) = service.answers([Query(k=5, user_id=3, item_id=unknown, time=TIME)])
        assert answer["source"] == "popularity"


def test_a_trace_is_there_when_it_is_asked_for(service: Service) -> None:
    rules = {"at_most": {"genre": 1}, "where": "genre IS NOT NULL"}
    (answer,) = service.answers([Query(k=3, user_id=3, time=TIME, rules=rules, trace=True)])
    assert answer["trace"]["source two_tower"]["items_out"] >= 3
    assert answer["trace"]["filters"]["dropped"]["where"] == sum(not any(one) for one in GENRES)
    assert answer["trace"]["at_most"]["items_out"] == 3 < answer["trace"]["at_most"]["items_in"]
    assert "trace" not in service.answers([Query(k=3, user_id=3, time=TIME)])[0]


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (
            {"where": "gerne = 'g1'"},
            r"instances\[1\].rules.where: items have no attribute 'gerne'; did you mean 'genre'",
        ),
        ({"boost": [{"where": "genre = 'g9'", "by": 1}]}, r"rules.boost\[0\].where: genre has no value 'g9'"),
        ({"at_most": {"artist": 1}}, "rules.at_most.artist: items have no category 'artist'; there are: genre"),
        ({"only": [99_990]}, "rules.only: the release knows none of these items"),
        ({"pin": [10], "where": "genre = 'g1'"}, "rules.pin: 10 is pinned, but genre = 'g1' leaves it out"),
        ({"pin": [500]}, "rules.pin: 500 is pinned and excluded"),
        ({"pin": [10, 10]}, "rules.pin: an item is pinned twice"),
    ],
)
def test_a_wrong_rule_is_refused_with_its_place(service: Service, rules: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequestError, match=message):
        service.answers([Query(k=1, time=TIME), Query(k=1, exclude=[500], time=TIME, rules=rules)])


def test_the_recipe_s_rules_hold_for_all(tmp_path: Path) -> None:
    service = Service(
        tmp_path,
        {"where": "NOT genre = 'g1'", "at_most": {"genre": 2}, "boost": [{"where": "genre = 'g3'", "by": 9}]},
    )
    rows = service.rows(Query(k=4, user_id=3, time=TIME))
    assert all(1 not in GENRES[row - 1] for row in rows)
    assert sum(3 in GENRES[row - 1] for row in rows) == 2
    with pytest.raises(BadRequestError, match="no item matches"):
        service.rows(Query(k=4, time=TIME, rules={"only": [20 * 3]} | {"where": "genre = 'g1'"}))
    with pytest.raises(RuleError, match=r"rules\.where: items have no attribute 'x'"):
        RuleBook(service.store, RecipeRules(where="x = 1"))


@given(
    values=st.lists(st.lists(st.integers(0, 3), min_size=2, max_size=2), min_size=1, max_size=12),
    most=st.integers(1, 3),
)
def test_what_fits_is_kept_in_order(values: list[list[int]], most: int) -> None:
    limit = Limit("x", most, np.array([[0, 0], *values], np.int32))
    rows = np.arange(1, len(values) + 1)
    kept = within_limits(rows, [limit], len(rows)).tolist()
    assert kept == sorted(kept)
    for at in range(len(rows)):
        before = [value for other in kept if other < at for value in set(values[other]) if value]
        fits = all(before.count(value) < most for value in set(values[at]) if value)
        assert (at in kept) == fits
