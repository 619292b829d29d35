"""A password is used, and is nowhere to be read."""

import json
from pathlib import Path

import pytest
from database_tables import recipe_of
from postgres_server import PASSWORD, Postgres

from shortlist.data.ingest import ingest
from shortlist.data.sources import SourceError
from shortlist.data.sources.database.url import address_of
from shortlist.recipe import RecipeError, dump_recipe
from shortlist.recipe.load import parse_recipe

QUERY = (
    "{query: SELECT 1 AS user_id\\, 2 AS item_id\\, 3 AS time}".replace("\\,", ",").replace("SELECT", "'SELECT")[:-1]
    + "'}"
)


def test_a_recipe_keeps_the_variable(server: Postgres, tmp_path: Path) -> None:
    recipe = recipe_of(server.url, QUERY)
    written = dump_recipe(recipe)
    assert "reader:${DB_PASSWORD}@" in written
    assert parse_recipe(written) == recipe
    result = ingest(recipe, tmp_path / "out")
    record = json.dumps([result.details, result.rows_out])
    assert f"127.0.0.1:{server.port}/shop" in record
    assert PASSWORD not in record


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hunter2@host/shop",
        "postgresql://u:hunter2/@host/shop",
        "postgresql://u:${P}hunter2@host/shop",
        "postgresql://u:${P:-hunter2}@host/shop",
        "postgresql://host/shop?user=u&password=hunter2",
    ],
)
def test_a_password_in_the_recipe_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(RecipeError, match=r"source\.(sql\.)?url: .*DB_PASSWORD") as caught:
        recipe_of(url, QUERY)
    assert "hunter2" not in str(caught.value)


def test_a_variable_that_is_not_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DB_PASSWORD")
    recipe = recipe_of("postgresql://u:${DB_PASSWORD}@host/shop", QUERY)
    with pytest.raises(SourceError, match="the environment variable DB_PASSWORD is not set"):
        ingest(recipe, tmp_path / "out")


@pytest.mark.parametrize("whole", ["postgresql://u:pa@ss@host/x", "postgresql://u:pa/ss@host/x", "u:pass@host"])
def test_a_whole_url_in_a_variable(monkeypatch: pytest.MonkeyPatch, whole: str) -> None:
    monkeypatch.setenv("DATABASE_URL", whole)
    with pytest.raises(SourceError, match=r"source\.url") as caught:
        address_of("${DATABASE_URL}")
    assert "ss" not in str(caught.value).replace("password", "").replace("pass", "") or "pa" not in str(caught.value)
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:p%40ss@host/x")
    address = address_of("${DATABASE_URL}")
    assert address.shown == "postgresql://host/x"
    assert address.scrubbed("p@ss and p%40ss") == "*** and ***"
    assert "ss@host" not in repr(address)
