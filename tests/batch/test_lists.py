"""Lists for many users are those that the service returns."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks.made_release import make_release
from shortlist.answer.availability_file import AvailabilityError
from shortlist.answer.query import Id, Query
from shortlist.answer.refusal import BadRequestError
from shortlist.answer.release_recommender import ReleaseRecommender
from shortlist.batch import lists
from shortlist.batch.lists import AT_ONCE, Written, write_lists
from shortlist.batch.users import Users, all_users, users_in
from shortlist.features.vocabulary import Vocabulary
from shortlist.ranking.ranker import Ranker
from shortlist.recipe import AvailabilityFile


@pytest.fixture(scope="module", params=[False, True], ids=["integers", "text"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("batch") / "made"
    make_release(folder, num_items=700, num_users=300, text_ids=request.param)
    return folder


def these(users: list[Id], size: int = 100) -> Callable[[Vocabulary], Users]:
    return lambda _: Users(len(users), (users[at : at + size] for at in range(0, len(users), size)))


def read(file: Path) -> list[Id]:
    return [user for block in users_in(file, 2).blocks for user in block]


def test_the_lists_are_those_of_the_service(made: Path, tmp_path: Path) -> None:
    users = [*range(1, 301), "nobody"]
    query = {"k": 5, "rules": {"at_most": {"artist": 1}}, "time": 1767225600}
    assert write_lists(made, these(users), query, tmp_path / "lists.parquet") == (len(users), 5 * len(users))
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
        np.testing.assert_allclose(rows["score"], [item["score"] for item in answer["items"]], rtol=1e-4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lists.parquet"]


def test_each_user_has_one_list_whatever_the_blocks(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "_WRITTEN", 2)
    users: list[Id] = [5, "6", "who", 5, "5", "who", "who else", *range(1, 20)]
    wanted = ["5", "6", "who", "who else", *(str(user) for user in range(1, 20) if user not in (5, 6))]
    for size in (1, 3, 100):
        out = tmp_path / f"{size}.parquet"
        assert write_lists(made, these(users, size), {"k": 2}, out) == Written(len(wanted), 2 * len(wanted))
        assert pl.read_parquet(out)["user_id"].unique(maintain_order=True).to_list() == wanted


def test_all_users_of_a_release(made: Path, tmp_path: Path) -> None:
    def users(known: Vocabulary) -> Users:
        return all_users(known, AT_ONCE)

    assert write_lists(made, users, {"k": 1}, tmp_path / "lists.parquet").users == 300
    assert set(pl.read_parquet(tmp_path / "lists.parquet")["user_id"]) == {str(user) for user in range(1, 301)}


def test_the_current_availability_holds(made: Path, tmp_path: Path) -> None:
    text = ReleaseRecommender.open(made).release.store.items.integers is False
    item = "i1003" if text else "1003"
    (tmp_path / "now.csv").write_text(f"item_id,stock\n{item},0\n")
    stock = AvailabilityFile(path=str(tmp_path / "now.csv"))
    query = {"k": 1, "rules": {"only": [item, item.replace("3", "4")]}}
    write_lists(made, these([7]), {**query, "rules": {**query["rules"], "pin": [item]}}, tmp_path / "a.parquet", stock)
    assert str(pl.read_parquet(tmp_path / "a.parquet")["item_id"][0]) == item.replace("3", "4")
    (tmp_path / "now.csv").unlink()
    with pytest.raises(OSError, match=r"now\.csv: there is nothing here"):
        write_lists(made, these([7]), query, tmp_path / "b.parquet", stock)
    (tmp_path / "now.csv").write_text("item_id,stock\n")
    with pytest.raises(AvailabilityError, match="no items"):
        write_lists(made, these([7]), query, tmp_path / "b.parquet", stock)
    assert not (tmp_path / "b.parquet").exists()


def test_a_query_that_is_refused_leaves_nothing(made: Path, tmp_path: Path) -> None:
    (tmp_path / "lists.parquet").write_text("of yesterday")
    with pytest.raises(BadRequestError, match=r"query\.k is 0"):
        write_lists(made, these([1, 2]), {"k": 0}, tmp_path / "lists.parquet")
    assert (tmp_path / "lists.parquet").read_text() == "of yesterday"
    assert len(list(tmp_path.iterdir())) == 1


def test_users_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "users.txt").write_text("7\n\nanna\n7\n")
    assert read(tmp_path / "users.txt") == ["7", "anna", "7"]
    assert users_in(tmp_path / "users.txt", 2).most == 4
    (tmp_path / "users.csv").write_text("name,user_id\na,007\nb,8\n")
    assert read(tmp_path / "users.csv") == ["007", "8"]
    pl.DataFrame({"user_id": [3, 1, 2], "x": 0}).write_parquet(tmp_path / "users.parquet")
    assert read(tmp_path / "users.parquet") == [3, 1, 2]
    assert users_in(tmp_path / "users.parquet", 2).most == 3
    (tmp_path / "other.csv").write_text("customer\n1\n")
    with pytest.raises(ValueError, match="there is no column 'user_id'; its columns are customer"):
        read(tmp_path / "other.csv")
    pl.DataFrame({"customer": [3]}).write_parquet(tmp_path / "other.parquet")
    with pytest.raises(ValueError, match="there is no column 'user_id'; its columns are customer"):
        users_in(tmp_path / "other.parquet", 2)
    (tmp_path / "hole.csv").write_text("user_id,x\n1,a\n2,a\n3,a\n,b\n")
    with pytest.raises(ValueError, match="row 4 has no user_id"):
        read(tmp_path / "hole.csv")
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(ValueError, match="no users"):
        read(tmp_path / "empty.txt")
