"""What two runs must have in common, and what tells them apart."""

import json
from pathlib import Path
from typing import Any

import pytest
from release_parts import evaluation, recipe_to, write_steps
from typer.testing import CliRunner

from shortlist.cli.main import app
from shortlist.release.digests import Digests, read_digests
from shortlist.release.publish import publish_step


def run(
    folder: Path, change: str | None = None, url: str = "", judged: dict[str, Any] | None = None, split: str = "one"
) -> Digests:
    """The digests of a publish step, `change` being a file of its inputs that is another one."""
    steps = write_steps(folder / "steps", judged=judged, split=split)
    if change is not None:
        assert (folder / "steps" / change).is_file()
        (folder / "steps" / change).write_text("changed")
    result = publish_step(recipe_to(url or str(folder / "root")), *steps.values(), folder / "out")
    return Digests.model_validate(result.details["digests"])


def test_the_same_input_has_the_same_digests_elsewhere(tmp_path: Path) -> None:
    assert run(tmp_path / "a") == run(tmp_path / "b", url=f"file://{tmp_path}/elsewhere")


@pytest.mark.parametrize(
    ("change", "differing"),
    [
        ("features/schema.json", ["features", "release"]),
        ("retrieval/vectors.npy", ["vectors", "release"]),
        ("retrieval/query_tower.onnx", ["release"]),
        ("index/index.faiss", ["index", "release"]),
    ],
)
def test_a_change_shows_where_it_is(tmp_path: Path, change: str, differing: list[str]) -> None:
    assert run(tmp_path / "a").differing(run(tmp_path / "b", change)) == differing


def test_the_split_is_the_one_that_prepare_tells_of(tmp_path: Path) -> None:
    assert run(tmp_path / "a").differing(run(tmp_path / "b", split="two")) == ["split", "release"]


def test_another_result_is_another_release(tmp_path: Path) -> None:
    assert run(tmp_path / "a").differing(run(tmp_path / "b", judged=evaluation(0.2))) == ["release"]


def write_run(folder: Path, digests: Digests) -> Path:
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"digests": digests.model_dump()}))
    return folder


def test_two_runs_are_compared(tmp_path: Path) -> None:
    digests = Digests(split="1", features="2", vectors="3", index="4", release="5")
    one = write_run(tmp_path / "one", digests)
    two = write_run(tmp_path / "two", digests.model_copy(update={"index": "6", "release": "7"}))
    same = CliRunner().invoke(app, ["digests", str(one), str(one / "run.json")])
    assert (same.exit_code, same.stdout.split()[:3]) == (0, ["split", "1", "1"])
    other = CliRunner().invoke(app, ["digests", str(one), str(two)])
    assert (other.exit_code, other.stderr) == (1, "not equal: index, release\n")


def test_what_is_no_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no such file; give the folder of a finished run"):
        read_digests(tmp_path)
    for text in ("{}", '{"digests": null}', "[]", "no json"):
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(ValueError, match="has no digests"):
            read_digests(tmp_path)
