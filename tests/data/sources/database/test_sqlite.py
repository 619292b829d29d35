"""A SQLite file as the source."""

import sqlite3
from pathlib import Path

import pytest
from database_tables import events_of, recipe_of

from shortlist.data.ingest import ingest
from shortlist.data.sources import SourceError
from shortlist.data.tables import scan

EVENTS = "{query: 'SELECT u AS user_id, i AS item_id, t AS time FROM events ORDER BY t'}"


@pytest.fixture
def url(tmp_path: Path) -> str:
    file = tmp_path / "my shop?.db"
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE events (u INTEGER, i TEXT, t TEXT, late TEXT)")
        rows = ((n % 7, f"item {n % 5}", f"2024-01-{n + 1:02} 10:00:00", None) for n in range(20))
        database.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", rows)
    return f"sqlite:///{file}"


def test_its_rows_are_events_in_the_order_of_the_query(url: str, tmp_path: Path) -> None:
    events = events_of(recipe_of(url, EVENTS), tmp_path / "out")
    assert events["user_id"].to_list() == [n % 7 for n in range(20)]
    assert events["item_id"].to_list() == [f"item {n % 5}" for n in range(20)]
    assert events["time"][0] == 1_704_103_200


def test_columns_are_expressions_over_the_result(url: str, tmp_path: Path) -> None:
    events = "{query: SELECT * FROM events, columns: {user_id: u + 100, item_id: UPPER(i), time: t}}"
    found = events_of(recipe_of(url, events), tmp_path / "out")
    assert found.row(0)[:2] == (100, "ITEM 0")


def test_items_and_users_have_their_own_queries(url: str, tmp_path: Path) -> None:
    more = ", items: {query: 'SELECT DISTINCT i AS item_id FROM events'}"
    ingest(recipe_of(url, EVENTS, more), tmp_path / "out")
    assert scan(tmp_path / "out", "items").collect().height == 5


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT nope FROM events", "source.events: .*no such column: nope.*correct the query"),
        ("SELECT * FROM nope", "no such table: nope"),
        ("SELECT 1 +", "the query is not valid"),
        ("DELETE FROM events", "source.events.query: begins with DELETE, which is not a query; write one SELECT"),
        ("SELECT 1; DELETE FROM events", "several statements"),
        ("SELECT u, i AS u FROM events", "gives the column u twice; rename one with AS"),
    ],
)
def test_a_wrong_query_is_named(url: str, tmp_path: Path, query: str, says: str) -> None:
    with pytest.raises(SourceError, match=says):
        events_of(recipe_of(url, f"{{query: '{query}'}}"), tmp_path / "out")
    assert [one.name for one in tmp_path.iterdir()] == ["my shop?.db"], "nothing is half written"


def test_a_query_cannot_write(url: str, tmp_path: Path) -> None:
    query = "WITH x AS (SELECT 1) DELETE FROM events"
    with pytest.raises(SourceError, match="the query writes"):
        events_of(recipe_of(url, f"{{query: '{query}'}}"), tmp_path / "out")


def test_semicolons_and_comments_at_the_end(url: str, tmp_path: Path) -> None:
    query = "SELECT u AS user_id, i AS item_id, t AS time, rowid AS n FROM events WHERE i <> ''; --'' ; -- all; of them"
    partition = ", partition: {column: n, parts: 3}"
    events = events_of(recipe_of(url, f"{{query: '{query}'{partition}}}"), tmp_path / "out")
    assert events.height == 20


def test_a_text_after_many_nulls_is_explained(url: str, tmp_path: Path) -> None:
    with sqlite3.connect(url.removeprefix("sqlite:///")) as database:
        nulls = [(1, "i", "2024-01-01", None)] * 70_000
        database.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", [*nulls, (1, "i", "2024-01-01", "late")])
    with pytest.raises(SourceError, match=r"values of several types, or is NULL in all of its first rows.*CAST"):
        events_of(recipe_of(url, "{query: SELECT * FROM events}"), tmp_path / "out")


def test_a_missing_file_and_a_file_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none\.db: there is no such SQLite file"):
        events_of(recipe_of(f"sqlite:///{tmp_path}/none.db", EVENTS), tmp_path / "out")
    (tmp_path / "text.db").write_text("no database " * 100)
    with pytest.raises(SourceError, match="the file is not a SQLite database"):
        events_of(recipe_of(f"sqlite:///{tmp_path}/text.db", EVENTS), tmp_path / "out")


def test_a_scheme_without_a_driver_names_the_package(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no ADBC driver for oracle://; install it: pip install adbc-driver-oracle"):
        events_of(recipe_of("oracle://host/shop", EVENTS), tmp_path / "out")
