"""The step `write_lists`: from a decision to a file in a folder or a bucket, whole or not at all."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from kfp.dsl import Artifact, Metrics
from s3_server import moto_endpoint

from benchmarks.made_release import make_release
from shortlist.components.write_lists import write_lists
from shortlist.recipe import RecipeError, dump_recipe, parse_recipe
from shortlist.release.registry import publish
from shortlist.step_result import read_record
from shortlist.storage import open_storage

RECIPE = "name: made\nsource: {kind: synthetic}\nsplit: {kind: leave_one_out}\n"
NUM_USERS = 30


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A release's folder and name."""
    folder = tmp_path_factory.mktemp("made") / "release"
    return folder, make_release(folder, num_items=200, num_users=NUM_USERS).name


@pytest.fixture(params=["folder", "bucket"])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if request.param == "folder":
        yield str(tmp_path / "store")
        return
    with moto_endpoint() as endpoint:
        for name, value in endpoint.environment.items():
            monkeypatch.setenv(name, value)
        yield f"s3://{endpoint.new_bucket()}"


def run(folder: Path, batch: str | None, decision: dict[str, Any]) -> tuple[Path, Any]:
    """The folder of the artifact and the result, of the component as a pipeline calls it."""
    (folder / "decision").mkdir(parents=True)
    (folder / "decision/decision.json").write_text(json.dumps(decision))
    text = dump_recipe(parse_recipe(RECIPE + (f"batch: {batch}\n" if batch else "")))
    left = {name: Artifact(uri=str(folder / name)) for name in ("decision", "lists", "record")}
    write_lists.python_func(recipe=text, **left, metrics=Metrics())
    assert {path.name for path in folder.iterdir()} == left.keys(), "and nothing beside"
    return folder / "lists", read_record(folder / "record").result


def test_the_lists_of_a_published_release(made: tuple[Path, str], root: str, tmp_path: Path) -> None:
    release, name = made
    publish(open_storage(f"{root}/made"), release, replaces=None)
    decision = {"published": True, "release": name, "url": f"{root}/made"}
    out, result = run(tmp_path / "default", "{k: 3}", decision)
    found = pl.read_parquet(out / "lists.parquet")
    assert found.columns == ["user_id", "rank", "item_id", "title", "score", "source", "release"]
    assert set(found["release"]) == {name}
    assert (result.rows_in, result.rows_out) == ({"users": NUM_USERS}, {"rows": 3 * NUM_USERS})

    open_storage(root).write("in/users.csv", b"user_id\n7\n8\n7\n")
    batch = f"{{users: {root}/in/users.csv, k: 2, out: {root}/lists/today.parquet}}"
    out, result = run(tmp_path / "named", batch, decision)
    assert list(out.iterdir()) == []
    assert result.details["lists"] == f"{root}/lists/today.parquet"
    open_storage(root).get_file("lists/today.parquet", tmp_path / "today.parquet")
    assert pl.read_parquet(tmp_path / "today.parquet")["user_id"].to_list() == ["7", "7", "8", "8"]

    # What is there stays until the next is complete.
    open_storage(root).write("in/users.csv", b"user_id\n7\n\n,\n")
    with pytest.raises(ValueError, match=r"users\.csv: row \d has no user_id"):
        run(tmp_path / "failed", batch, decision)
    open_storage(root).get_file("lists/today.parquet", tmp_path / "again.parquet")
    assert (tmp_path / "again.parquet").read_bytes() == (tmp_path / "today.parquet").read_bytes()
    assert [entry.key for entry in open_storage(root).list("lists")] == ["lists/today.parquet"]
    assert [path.name for path in (tmp_path / "failed").iterdir()] in (["decision", "lists"], ["lists", "decision"])


@pytest.mark.parametrize(
    ("batch", "published", "why"),
    [(None, True, "the recipe has no batch"), ("{k: 2}", False, "the release was refused")],
)
def test_without_a_batch_or_a_release_nothing_is_read(
    tmp_path: Path, batch: str | None, published: bool, why: str
) -> None:
    out, result = run(tmp_path, batch, {"published": published, "release": "0" * 16, "url": "/nowhere"})
    assert list(out.iterdir()) == []
    assert result.details == {"skipped": why}


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ("{k: 201}", r"batch\.k 201 is larger than serving\.max_k 200"),
        ("{out: lists.csv}", r"batch\.out: 'lists\.csv' must end with \.parquet"),
    ],
)
def test_a_wrong_batch_is_refused(batch: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse_recipe(f"{RECIPE}batch: {batch}\n")


def test_where_lists_go_is_no_part_of_a_release(made: tuple[Path, str]) -> None:
    assert "batch" not in (made[0] / "recipe.yaml").read_text()
