"""A survey is another word when a source file is another one, and reads none."""

import os
from pathlib import Path

import boto3
import pytest
from s3_server import moto_endpoint

from shortlist.data.sources.survey import survey
from shortlist.recipe import Recipe, parse_recipe


def recipe_of(source: str) -> Recipe:
    return parse_recipe(f"name: shop\nsource: {source}\nsplit: {{kind: leave_one_out}}\n")


def test_files_by_their_names_sizes_and_times(tmp_path: Path) -> None:
    recipe = recipe_of(f"{{kind: files, events: [{{path: {tmp_path}/*.csv}}], items: {{path: {tmp_path}/*.txt}}}}")
    (tmp_path / "items.txt").write_text("1")
    missing = survey(recipe)
    assert survey(recipe) != missing, "what cannot be seen is never the same"
    (tmp_path / "a.csv").write_text("1")
    first = survey(recipe)
    assert survey(recipe) == first
    os.utime(tmp_path / "a.csv", (1, 1))
    touched = survey(recipe)
    (tmp_path / "items.txt").write_text("22")
    assert len({missing, first, touched, survey(recipe)}) == 4


def test_invented_data_is_always_the_same() -> None:
    assert survey(recipe_of("{kind: synthetic}")) == survey(recipe_of("{kind: synthetic}"))


def test_objects_by_what_they_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    with moto_endpoint() as endpoint:
        for name, value in endpoint.environment.items():
            monkeypatch.setenv(name, value)
        name, client = endpoint.new_bucket(), boto3.session.Session().client("s3")
        recipe = recipe_of(f"{{kind: files, events: [{{path: 's3://{name}/day/'}}]}}")
        client.put_object(Bucket=name, Key="day/a.csv", Body=b"1")
        first = survey(recipe)
        client.put_object(Bucket=name, Key="other/a.csv", Body=b"1")
        client.put_object(Bucket=name, Key="day/a.csv", Body=b"1")
        assert survey(recipe) == first
        client.put_object(Bucket=name, Key="day/a.csv", Body=b"2")
        assert survey(recipe) != first
