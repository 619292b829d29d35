"""Lists for many users are those that the service returns."""

from pathlib import Path

import polars as pl
import pytest

from benchmarks.made_release import make_release
from shortlist.answer.query import Query
from shortlist.answer.refusal import BadRequestError
from shortlist.answer.release_recommender import ReleaseRecommender
from shortlist.batch.lists import users_in, write_lists
from shortlist.ranking.ranker import Ranker


@pytest.fixture(scope="module", params=[False, True], ids=["integers", "text"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("batch") / "made"
    make_release(folder, num_items=700, num_users=300, text_ids=request.param)
    return folder


def test_the_lists_are_those_of_the_service(made: Path, tmp_path: Path) -> None:
    users = [*range(1, 301), "nobody"]
    query = {"k": 5, "rules": {"at_most": {"artist": 1}}, "time": 1767225600}
    assert write_lists(made, users, query, tmp_path / "lists.parquet") == 5 * len(users)
    found = pl.read_parquet(tmp_path / "lists.parquet")
    recommender = ReleaseRecommender.open(made)
    ranker = Ranker.open(made / "ranking", made / "retrieval", recommender.release.store)
    for user in (1, 7, 300, "nobody"):
        one = recommender.find([Query(k=5, user_id=user, rules=query["rules"], time=query["time"])])
        scores = None if one.request is None else ranker.score(one.request)
        (answer,) = recommender.answers(one, scores, None)
        rows = found.filter(pl.col("user_id") == str(user)).sort("rank")
        # An id that is asked for as text comes back as text; a column has one type.
        assert rows["item_id"].cast(pl.String).to_list() == [str(item["item_id"]) for item in answer["items"]]
        assert rows["source"].to_list() == [item["source"] for item in answer["items"]]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lists.parquet"]


def test_a_query_that_is_refused_leaves_nothing(made: Path, tmp_path: Path) -> None:
    (tmp_path / "lists.parquet").write_text("of yesterday")
    with pytest.raises(BadRequestError, match=r"query\.k is 0"):
        write_lists(made, [1, 2], {"k": 0}, tmp_path / "lists.parquet")
    assert (tmp_path / "lists.parquet").read_text() == "of yesterday"
    assert len(list(tmp_path.iterdir())) == 1


def test_users_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "users.txt").write_text("7\n\nanna\n7\n")
    assert users_in(tmp_path / "users.txt") == ["7", "anna"]
    (tmp_path / "users.csv").write_text("name,user_id\na,007\nb,8\n")
    assert users_in(tmp_path / "users.csv") == ["007", "8"]
    pl.DataFrame({"user_id": [3, 1]}).write_parquet(tmp_path / "users.parquet")
    assert users_in(tmp_path / "users.parquet") == [3, 1]
    (tmp_path / "other.csv").write_text("customer\n1\n")
    with pytest.raises(ValueError, match="there is no column 'user_id'; its columns are customer"):
        users_in(tmp_path / "other.csv")
    (tmp_path / "hole.csv").write_text("user_id,x\n1,a\n,b\n")
    with pytest.raises(ValueError, match="row 2 has no user_id"):
        users_in(tmp_path / "hole.csv")
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(ValueError, match="no users"):
        users_in(tmp_path / "empty.txt")
