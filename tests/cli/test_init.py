"""`shortlist init` and `shortlist validate --data`, as they are called."""

import os
import subprocess
import sys
from pathlib import Path

import boto3
import log_shapes as shapes
import pytest
from s3_server import moto_endpoint

from shortlist.recipe import load_recipe


def shortlist(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "shortlist.cli", *arguments]
    settings = {**os.environ, "TMPDIR": str(cwd / "tmp"), **environment}
    (cwd / "tmp").mkdir(exist_ok=True)
    return subprocess.run(command, cwd=cwd, env=settings, capture_output=True, text=True, timeout=280, check=False)


def left(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*")}


def test_two_commands_from_a_file_to_an_answer(tmp_path: Path) -> None:
    shapes.semicolons(tmp_path)
    done = shortlist("init", "verkauf.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for line in (
        "user          Kunde",
        "item          Artikel",
        "separator     ;",
        "next  shortlist validate --data verkauf.yaml",
    ):
        assert line in done.stdout
    assert load_recipe(tmp_path / "verkauf.yaml").name == "verkauf"
    before = left(tmp_path)
    tried = shortlist("validate", "--data", "verkauf.yaml", cwd=tmp_path)
    assert tried.returncode == 0, tried.stderr
    for part in (
        "read       3,000 events",
        "contract   passed",
        "prepared ",
        "step  ",
        "ranker     one batch",
        "nothing was kept",
        "run verkauf.yaml",
    ):
        assert part in tried.stdout
    assert left(tmp_path) == before


def test_a_recipe_that_is_there_is_kept(tmp_path: Path) -> None:
    shapes.no_header(tmp_path)
    (tmp_path / "log.yaml").write_text("mine")
    done = shortlist("init", "log.txt", cwd=tmp_path)
    assert done.returncode == 1
    assert "log.yaml: already exists; pass --force" in done.stderr
    assert (tmp_path / "log.yaml").read_text() == "mine"
    assert shortlist("init", "log.txt", "--force", cwd=tmp_path).returncode == 0
    assert load_recipe(tmp_path / "log.yaml").name == "log"


def test_what_cannot_be_told_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("alpha,beta\n" + "1,2\n" * 50)
    before = left(tmp_path) | {"tmp"}
    done = shortlist("init", "log.csv", cwd=tmp_path)
    assert done.returncode == 1
    assert "cannot determine the user and the item and the time" in done.stderr
    assert left(tmp_path) == before


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("user,item,time\n")
    done = shortlist("init", "event.csv", cwd=tmp_path)
    assert done.returncode == 1
    assert "event.csv: there is no such file; did you mean 'events.csv'?" in done.stderr


def test_data_that_breaks_the_contract_shows_its_rows(tmp_path: Path) -> None:
    shapes.no_header(tmp_path)
    assert shortlist("init", "log.txt", cwd=tmp_path).returncode == 0
    recipe = tmp_path / "log.yaml"
    recipe.write_text(recipe.read_text() + 'contract:\n  earliest: "2024-05-01"\n')
    before = left(tmp_path)
    done = shortlist("validate", "--data", "log.yaml", cwd=tmp_path)
    assert done.returncode == 1
    assert "contract.max_quarantined" in done.stderr
    assert "events, row 1: time is before 2024-05-01" in done.stderr
    assert "tmp" not in done.stderr
    assert left(tmp_path) == before


def test_a_folder_in_s3(tmp_path: Path) -> None:
    log = shapes.json_lines(tmp_path)
    with moto_endpoint() as endpoint:
        bucket = endpoint.new_bucket()
        client = boto3.client(
            "s3",
            endpoint_url=endpoint.url,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            region_name="us-east-1",
        )
        for part in range(4):
            client.upload_file(str(log), bucket, f"watch/part-{part}.jsonl")
        done = shortlist("init", f"s3://{bucket}/watch", cwd=tmp_path, **endpoint.environment)
    assert done.returncode == 0, done.stderr
    source = load_recipe(tmp_path / "watch.yaml").source
    assert source.kind == "files"
    assert source.events[0].path == f"s3://{bucket}/watch"
    assert "about 12,000 rows" in done.stdout


@pytest.mark.parametrize("place", ["here.yaml", "sub/here.yaml"])
def test_the_path_in_the_recipe_is_found_from_the_project(place: str, tmp_path: Path) -> None:
    shapes.no_header(tmp_path)
    (tmp_path / "sub").mkdir()
    assert shortlist("init", "log.txt", "--out", place, cwd=tmp_path).returncode == 0
    source = load_recipe(tmp_path / place).source
    assert source.kind == "files"
    assert source.events[0].path == "log.txt"
