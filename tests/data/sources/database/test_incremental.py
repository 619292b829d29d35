"""A later run reads only new rows, and all rows when the kept ones are no longer those of the database."""

from pathlib import Path

import pytest
from database_tables import events_of, recipe_of
from postgres_server import PASSWORD, Postgres

from shortlist.data.sources import SourceError
from shortlist.data.sources.survey import survey
from shortlist.recipe import Recipe


@pytest.fixture(autouse=True)
def _table(server: Postgres) -> None:
    server.sql(
        "DROP TABLE IF EXISTS log",
        "CREATE TABLE log (id bigint, at timestamptz, u int, i int, x int)",
        "INSERT INTO log SELECT n, '2024-01-01Z'::timestamptz + n * interval '1.000001 s', n % 7, n % 5 "
        "FROM generate_series(1, 100) n",
        "GRANT SELECT ON log TO reader",
    )


def recipe(server: Postgres, keep: Path, column: str = "id", more: str = "") -> Recipe:
    query = "SELECT id, at, u AS user_id, i AS item_id, at AS time FROM log"
    return recipe_of(server.url, f"{{query: {query!r}, incremental: {{column: {column}, keep: {keep}}}{more}}}")


@pytest.mark.parametrize("column", ["id", "at"])
def test_only_new_rows_are_read(
    server: Postgres, tmp_path: Path, capsys: pytest.CaptureFixture[str], column: str
) -> None:
    found = recipe(server, tmp_path / "keep", column)
    assert events_of(found, tmp_path / "a").height == 100
    server.sql("INSERT INTO log VALUES (101, '2024-01-02Z', 1, 1)")
    capsys.readouterr()
    assert events_of(found, tmp_path / "b")["time"].to_list()[-1] == 1_704_153_600
    assert "1 rows are new, 100 were kept" in capsys.readouterr().out
    assert events_of(found, tmp_path / "c").height == 101
    assert "0 rows are new, 101 were kept" in capsys.readouterr().out


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM log WHERE id = 5",
        "INSERT INTO log VALUES (50, '2024-01-01Z', 1, 1)",
        "UPDATE log SET id = 200, u = 6 WHERE id = 7",
    ],
)
def test_changed_rows_are_read_again(
    server: Postgres, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    found = recipe(server, tmp_path / "keep")
    events_of(found, tmp_path / "a")
    server.sql(change)
    kept = events_of(found, tmp_path / "b")
    assert "all rows are read again" in capsys.readouterr().out
    fresh = events_of(recipe(server, tmp_path / "other"), tmp_path / "c")
    assert kept.equals(fresh)
    assert len(list((tmp_path / "keep").rglob("*.parquet"))) == 1, "old files are removed"


def test_a_run_that_fails_leaves_what_was_kept(server: Postgres, tmp_path: Path) -> None:
    found = recipe(server, tmp_path / "keep")
    events_of(found, tmp_path / "a")
    before = {file: file.read_bytes() for file in (tmp_path / "keep").rglob("*.*")}
    server.sql("REVOKE SELECT ON log FROM reader")
    with pytest.raises(SourceError, match="permission denied"):
        events_of(found, tmp_path / "b")
    assert {file: file.read_bytes() for file in (tmp_path / "keep").rglob("*.*")} == before
    assert PASSWORD not in str(before)


def test_a_damaged_file_is_read_again(server: Postgres, tmp_path: Path) -> None:
    found = recipe(server, tmp_path / "keep", more=", partition: {column: id, parts: 3}")
    events_of(found, tmp_path / "a")
    next((tmp_path / "keep").rglob("*.parquet")).write_text("damaged")
    assert events_of(found, tmp_path / "b").height == 100


def test_a_column_without_an_order_is_refused(server: Postgres, tmp_path: Path) -> None:
    server.sql("UPDATE log SET id = NULL WHERE id < 4")
    with pytest.raises(SourceError, match=r"source.events.incremental.column: 'id' is NULL in 3 rows"):
        events_of(recipe(server, tmp_path / "keep"), tmp_path / "a")
    with pytest.raises(SourceError, match="no column 'ids'; did you mean 'id'"):
        events_of(recipe(server, tmp_path / "keep", "ids"), tmp_path / "a")


def test_the_survey_asks_for_a_version(server: Postgres, tmp_path: Path) -> None:
    found = recipe(server, tmp_path / "keep")
    first = survey(found)
    assert survey(found) == first
    server.sql("INSERT INTO log VALUES (101, '2024-01-02Z', 1, 1)")
    assert survey(found) != first
    plain = recipe_of(server.url, "{query: SELECT * FROM log}")
    assert survey(plain) != survey(plain), "without a version, nothing says that the data is the same"
    versioned = recipe_of(server.url, "{query: SELECT * FROM log, version: 'SELECT max(id) FROM log'}")
    assert survey(versioned) == survey(versioned)


def test_a_survey_without_a_server_warns_without_the_password(
    server: Postgres, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    versioned = recipe_of("postgresql://u:${DB_PASSWORD}@127.0.0.1:1/x", "{query: SELECT 1, version: SELECT 1}")
    assert survey(versioned) != survey(versioned)
    said = capsys.readouterr().out
    assert "no server answers" in said
    assert PASSWORD not in said
