"""The comparison of two releases, with recommenders of this process in the place of pods."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks.made_release import make_release
from shortlist.answer.release_recommender import ReleaseRecommender
from shortlist.ranking.ranker import Ranker
from shortlist.serving.deploy.errors import ClusterError, RefusedError
from shortlist.serving.deploy.shadow import Ask, check_comparison, compare, queries, smoke


class Answering:
    """A release that is asked without a server."""

    def __init__(self, folder: Path, degraded: str | None = None) -> None:
        self._recommender = ReleaseRecommender.open(folder)
        self._release, self._degraded = self._recommender.release, degraded
        self._ranker = Ranker.open(folder / "ranking", folder / "retrieval", self._release.store)
        self.name = self._release.name

    def __call__(self, query: Mapping[str, Any]) -> dict[str, Any]:
        body = {"instances": [dict(query)]}
        asked = self._release.reader.request(body)
        found = self._recommender.find(asked)
        found.timings_ms["total"] = 1.0
        ranks = None if found.request is None or self._degraded else self._ranker.score(found.request)
        return self._recommender.answers(found, ranks, self._degraded)[0]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("live") / "made"
    make_release(folder, num_items=600, num_users=20)
    return folder


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same items with other vectors, and fewer of them."""
    folder = tmp_path_factory.mktemp("other") / "made"
    make_release(folder, num_items=400, num_users=20, seed=1)
    return folder


def test_queries_need_nothing_but_the_live_release(live: Path) -> None:
    ask = Answering(live)
    asked = queries(ask, 30, moment=1_700_000_000)
    assert len(asked) == 30
    items = {item for one in asked for item in one.query["history"]}
    assert len(items) > 30, "the histories are all of the same few items"
    for one in asked:
        assert 1 <= len(one.query["history"]) <= 8
        assert one.answer["items"] == ask(one.query)["items"], "it is not asked about one moment"
    assert [one.query for one in queries(ask, 30, moment=1_700_000_000)] == [one.query for one in asked]


def test_a_release_is_like_itself_and_unlike_another(live: Path, other: Path) -> None:
    ask = Answering(live)
    asked = queries(ask, 40)
    same = compare(asked, ask)
    assert (same.overlap, same.unknown_items, same.num_degraded, same.num_queries) == (1.0, 0, 0, 40)
    check_comparison(same, min_overlap=1.0)
    found = compare(asked, Answering(other))
    assert found.overlap < 0.3
    assert found.unknown_items == sum(item >= 1400 for one in asked for item in one.query["history"]) > 0
    check_comparison(found, min_overlap=0.0)
    with pytest.raises(RefusedError, match=r"% of the live lists' items .* lower --min-overlap"):
        check_comparison(found, min_overlap=0.5)


def test_a_release_that_comes_unranked_is_refused(live: Path) -> None:
    unranked = Answering(live, "unreachable: nobody listens")
    with pytest.raises(RefusedError, match="returns unranked lists: unreachable"):
        smoke(unranked, unranked.name)
    found = compare(queries(Answering(live), 20), unranked)
    assert found.num_degraded == 20
    with pytest.raises(RefusedError, match="20 of 20 lists of the new release are unranked"):
        check_comparison(found, min_overlap=0.0)


def test_the_smoke_query_asks_for_the_release_by_name(live: Path) -> None:
    ask = Answering(live)
    smoke(ask, ask.name)
    with pytest.raises(RefusedError, match=f"release {ask.name} answered, not feedc0de"):
        smoke(ask, "feedc0de")


def test_a_slow_first_answer_is_forgiven(live: Path) -> None:
    ask, late = Answering(live), Answering(live, "timeout: the predictor did not answer within 450 ms")
    answers = [late, ask, ask]

    def warming_up(query: Mapping[str, Any]) -> dict[str, Any]:
        return (answers.pop(0) if "history" in query and len(answers) > 1 else ask)(query)

    smoke(warming_up, ask.name)
    assert len(answers) < 3, "it was never asked to rank"


def test_a_refused_query_refuses_the_release(live: Path) -> None:
    def breaks(query: Mapping[str, Any]) -> dict[str, Any]:
        raise ClusterError("pod a answered 500: broken")

    asking: Ask = breaks
    with pytest.raises(RefusedError, match=r"answered 500: broken \(query: \{'history'"):
        compare(queries(Answering(live), 3), asking)
