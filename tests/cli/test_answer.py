"""A query from the command line."""

from pathlib import Path

import polars as pl
import pytest
from click.testing import Result
from typer.testing import CliRunner

from benchmarks.made_release import make_release
from shortlist.cli import serve
from shortlist.cli.answer import complete, unknown
from shortlist.cli.main import app


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release") / "made"
    make_release(folder, num_items=600, num_users=20)
    return folder


def test_what_the_release_does_not_know_is_told(release: Path) -> None:
    given = {"user_id": "nobody", "history": ["1003", "x", "y"], "exclude": ["1004", "z"]}
    assert unknown(release, given) == [
        "the release does not know user nobody",
        "the release does not know x, y: left out of the history",
        "the release does not know z: nothing to exclude",
    ]
    assert unknown(release, {"user_id": "7", "history": ["1003"], "exclude": ["1004"]}) == []
    assert unknown(release, {"k": 3}) == []


def test_without_a_user_and_a_history_a_user_of_the_release_asks(release: Path) -> None:
    asked = complete(release, {"k": 3})
    assert unknown(release, asked) == []
    assert asked.keys() == {"k", "user_id"}
    for given in ({"user_id": "7"}, {"history": ["1003"], "k": 3}):
        assert complete(release, given) == given


def test_an_item_or_a_described_user_needs_no_user(release: Path) -> None:
    for given in ({"item_id": "1003", "k": 3}, {"user": {"country": "SE"}}):
        assert complete(release, given) == given
    assert unknown(release, {"item_id": "x"}) == ["the release does not know item x: popular items instead"]


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_a_json_option_that_is_not_an_object(text: str) -> None:
    done = CliRunner().invoke(app, ["recommend", "recipe.yaml", "--rules", text], env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert "not" in done.output
    assert "JSON" in done.output


def test_lists_of_many_users_take_sources_and_an_objective(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "live_release", lambda _: release)
    users, out = tmp_path / "users.txt", tmp_path / "lists.parquet"
    users.write_text("7\n8\n")

    def asked(*options: str) -> Result:
        command = ["recommend", "recipes/demo.yaml", "--users", str(users), "--out", str(out), *options]
        return CliRunner().invoke(app, command, env={"COLUMNS": "200"})

    done = asked("--k", "3", "--source", "two_tower", "--objective", '{"positive": 2}')
    assert done.exit_code == 0, done.output
    assert pl.read_parquet(out).group_by("user_id").len()["len"].to_list() == [3, 3]
    assert "this release has the candidate sources" in str(asked("--source", "towers").exception)
    assert "unknown key 'liked'" in str(asked("--objective", '{"liked": 1}').exception)
    assert "history is of one user" in asked("--item", "1003").output
