"""PostgreSQL as the source: types, errors and connections that are lost."""

import datetime as dt
import importlib
import threading
import time
from decimal import Decimal
from pathlib import Path

import pytest
from database_tables import events_of, recipe_of
from postgres_server import PASSWORD, Postgres

from shortlist.data.ingest import ingest
from shortlist.data.sources import SourceError, read

DOWNLOAD = importlib.import_module("shortlist.data.sources.database.download")
EVENTS = "{query: 'SELECT u AS user_id, i AS item_id, t AS time FROM events'}"
SLOW = "{query: 'SELECT id, u AS user_id, i AS item_id, t AS time FROM many WHERE pg_sleep(0.00005) IS NOT NULL'}"


@pytest.fixture(scope="module", autouse=True)
def _tables(server: Postgres) -> None:
    server.sql(
        "CREATE TABLE events (u bigint, i text, t timestamptz)",
        "INSERT INTO events SELECT n % 7, 'item ' || n % 5, '2024-01-01Z'::timestamptz + n * interval '1 hour' "
        "FROM generate_series(0, 99) n",
        "CREATE TABLE hidden (u bigint)",
        "CREATE TABLE many AS SELECT id, id % 1000 AS u, id % 77 AS i, 1700000000 + id AS t, repeat('x', 200) AS x "
        "FROM generate_series(1, 30000) id",
        "GRANT SELECT ON events, many TO reader",
    )


def test_its_rows_are_events(server: Postgres, tmp_path: Path) -> None:
    events = events_of(recipe_of(server.url, EVENTS), tmp_path / "out")
    assert events["user_id"].to_list() == [n % 7 for n in range(100)]
    assert events["time"].to_list() == [1_704_067_200 + 3600 * n for n in range(100)]


def test_types(server: Postgres, tmp_path: Path) -> None:
    server.sql(
        "CREATE TABLE types (small smallint, big bigint, t text, b boolean, r real, u uuid, price numeric(10, 2), "
        "whole numeric(12), long numeric(30), free numeric, nan numeric, z timestamptz, local timestamp, d date, "
        "tags text[], prices numeric(4, 1)[], j jsonb, n text)",
        "INSERT INTO types VALUES (1, 2, 'x', true, 1.5, 'A0EEBC99-9c0b-4ef8-bb6d-6bb9bd380a11', 12.5, 7, "
        "123456789012345678901234567890, 0.25, 'NaN', '2024-01-01 10:00+02', '2024-01-01 10:00', '2024-01-01', "
        "array['a', NULL, 'b'], array[1.5], '{\"a\": 1}', NULL)",
        "INSERT INTO types (small) VALUES (NULL)",
        "GRANT SELECT ON types TO reader",
    )
    recipe = recipe_of(server.url, "{query: SELECT * FROM types}")
    found = read(recipe, tmp_path).events[0].frame.collect()
    assert found.row(0, named=True) == {
        "small": 1, "big": 2, "t": "x", "b": True, "r": 1.5, "u": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "price": Decimal("12.50"), "whole": 7,
        "long": Decimal("123456789012345678901234567890"),
        "free": 0.25, "nan": None, "z": dt.datetime(2024, 1, 1, 8, tzinfo=dt.UTC), "local": dt.datetime(2024, 1, 1, 10),
        "d": dt.date(2024, 1, 1), "tags": ["a", None, "b"], "prices": [1.5],
        "j": '{"a": 1}', "n": None,
    }  # fmt: skip
    assert set(found.row(1)) == {None}


def test_a_list_is_exploded(server: Postgres, tmp_path: Path) -> None:
    query = "SELECT 1 AS user_id, string_to_array(''a b c'', '' '') AS item_id, 5 AS time"
    events = events_of(recipe_of(server.url, f"{{query: '{query}', explode: item_id}}"), tmp_path / "out")
    assert events["item_id"].to_list() == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT nope FROM events", 'source.events: postgresql://127.0.0.1:.*column "nope" does not exist'),
        ("SELECT * FROM event", 'there is no such table .*relation "event" does not exist'),
        ("SELECT * FROM hidden", "may not read this .*permission denied for table hidden.*GRANT SELECT"),
        ("SELECT 1 +", "the query is not valid"),
        ("WITH x AS (DELETE FROM events RETURNING *) SELECT * FROM x", "the query writes|may not"),
        ("SELECT ''10.0.0.1''::inet AS ip", r"'ip' has the type inet; write CAST\(ip AS text\)"),
        ("SELECT ''1 day''::interval AS i", "'i' has the type"),
        ("SELECT 1 / (u - 3) FROM events", "division by zero"),
    ],
)
def test_a_wrong_query_is_named(server: Postgres, tmp_path: Path, query: str, says: str) -> None:
    with pytest.raises(SourceError, match=says):
        events_of(recipe_of(server.url, f"{{query: '{query}'}}"), tmp_path / "out")
    assert not list(tmp_path.iterdir()), "nothing is half written"
    assert server.sql("SELECT count(*) FROM events") == "100"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("reader:", "nobody:"), "the password or the user is wrong"),
        (("/shop", "/shops"), "there is no such database"),
        (("127.0.0.1", "nohost.invalid"), "no server answers.*start it, or check host and port"),
    ],
)
def test_a_wrong_url_is_named_without_the_password(
    server: Postgres, tmp_path: Path, change: tuple[str, str], says: str
) -> None:
    with pytest.raises(SourceError, match=says) as caught:
        events_of(recipe_of(server.url.replace(*change), EVENTS), tmp_path / "out")
    assert PASSWORD not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_wrong_password(server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", "not-the-password")
    with pytest.raises(SourceError, match="the password or the user is wrong") as caught:
        events_of(recipe_of(server.url, EVENTS), tmp_path / "out")
    assert "not-the-password" not in str(caught.value)


def test_no_server_is_said_at_once(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(SourceError, match="no server answers"):
        events_of(recipe_of("postgresql://reader@127.0.0.1:1/shop", EVENTS), tmp_path / "out")
    assert time.monotonic() - started < 5, "it is not tried again"


def cut(server: Postgres, times: int) -> threading.Thread:
    """End the connections of the reader while its query runs, so often."""
    running = "SELECT pid FROM pg_stat_activity WHERE usename = 'reader' AND query LIKE '%pg_sleep%'"

    def end() -> None:
        ended: set[str] = set()
        until = time.monotonic() + 60
        while len(ended) < times and time.monotonic() < until:
            if (pid := server.sql(f"{running} LIMIT 1")) and pid not in ended:
                time.sleep(0.3)
                server.sql(f"SELECT pg_terminate_backend({pid})")
                ended.add(pid)
            time.sleep(0.05)

    thread = threading.Thread(target=end, daemon=True)
    thread.start()
    return thread


def test_a_part_whose_connection_is_cut_is_read_again(
    server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(DOWNLOAD, "_WAIT_SECONDS", 0.1)
    parts = SLOW.replace("'}", "', partition: {column: id, parts: 2}}")
    thread = cut(server, 1)

    events = events_of(recipe_of(server.url, parts), tmp_path / "out")
    thread.join()
    assert events["time"].to_list() == [1_700_000_000 + n for n in range(1, 30_001)], "each row once, in order"
    assert capsys.readouterr().out.count("starting again") == 1


def test_a_connection_that_is_cut_again_and_again_ends_the_run(
    server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DOWNLOAD, "_WAIT_SECONDS", 0.1)
    thread = cut(server, 2)
    with pytest.raises(SourceError, match=r"the connection was lost.*given up after 2 tries; nothing was kept"):
        ingest(recipe_of(server.url, SLOW, ", retries: 1"), tmp_path / "out")
    thread.join()
    assert not list(tmp_path.iterdir())


def test_parts_have_each_row_once(server: Postgres, tmp_path: Path) -> None:
    query = "SELECT u AS user_id, i AS item_id, t AS time, NULLIF(u, 3) AS half FROM events"
    parts = f"{{query: '{query}', partition: {{column: half, parts: 3}}}}"
    one, many = (
        events_of(recipe_of(server.url, block), tmp_path / name) for name, block in (("a", EVENTS), ("b", parts))
    )
    assert many.sort("time").equals(one)


def test_more_parts_than_values_and_no_rows(server: Postgres, tmp_path: Path) -> None:
    block = (
        "{query: 'SELECT u AS user_id, i AS item_id, t AS time FROM events%s', partition: {column: user_id, parts: 9}}"
    )
    assert events_of(recipe_of(server.url, block % ""), tmp_path / "a").height == 100
    with pytest.raises(SourceError, match="there are no rows"):
        events_of(recipe_of(server.url, block % " WHERE u > 100"), tmp_path / "b")


def test_a_partition_needs_whole_numbers(server: Postgres, tmp_path: Path) -> None:
    parts = EVENTS.replace("'}", "', partition: {column: item_id}}")
    with pytest.raises(SourceError, match=r"source.events.partition.column: 'item_id' has values like 'item 0'"):
        events_of(recipe_of(server.url, parts), tmp_path / "out")
