"""Availability from a file that changes while a release is served: what it says, what is wrong with it, the swap."""

import io
import itertools
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from released import NUM_ITEMS, NUM_USERS
from s3_server import moto_endpoint

from benchmarks.made_release import make_release
from shortlist.answer.availability_file import AvailabilityError, AvailabilityFile
from shortlist.answer.query import Query
from shortlist.answer.release_recommender import ReleaseRecommender
from shortlist.recipe import AvailabilityFile as Settings
from shortlist.recipe import RecipeError, parse_recipe
from shortlist.serving.local import LocalService
from shortlist.serving.transformer.availability import AvailabilityWatcher
from shortlist.serving.transformer.metrics import AVAILABILITY_AGE, AVAILABILITY_ERRORS, AVAILABILITY_ITEMS
from shortlist.serving.transformer.service import Service
from shortlist.storage import StorageError, open_storage

T = 1767225600  # 2026-01-01
ALL = set(range(1000, 1000 + NUM_ITEMS))


@pytest.fixture(scope="module")
def opened(unranked: Path) -> ReleaseRecommender:
    return ReleaseRecommender.open(unranked)


@pytest.fixture
def recommender(release: Path) -> ReleaseRecommender:
    return ReleaseRecommender.open(release)


def listed(recommender: ReleaseRecommender, time: int = T, **query: Any) -> list[Any]:
    """The items of one list, by default of all that there are."""
    (answer,) = recommender.answers(recommender.find([Query(**{"k": 600, "time": time} | query)]), None, None)
    return [item["item_id"] for item in answer["items"]]


def read(path: Path, recommender: ReleaseRecommender, **columns: str) -> None:
    loaded = AvailabilityFile(Settings(path=str(path), columns=columns), recommender.release.store).read_if_changed()
    assert loaded is not None
    recommender.use(loaded.available)


@pytest.mark.parametrize(
    ("header", "cells", "out_at"),
    [
        ("available", {1000: "true", 1001: "false", 1002: "0", 1003: "No", 1004: ""}, {T: {1001, 1002, 1003}}),
        ("stock", {1000: "2", 1001: "0", 1002: "-1", 1003: "0.5", 1004: ""}, {T: {1001, 1002}}),
        (
            "available_from,available_until",
            {1000: "2026-01-01,", 1001: f",{T + 60}", 1002: "2026-01-01T01:00:30+01:00,2026-01-01 00:00:40", 1003: ","},
            {T - 1: {1000, 1002}, T: {1002}, T + 30: set(), T + 40: {1002}, T + 60: {1001, 1002}},
        ),
        ("available,stock", {1000: "true,0", 1001: ",0", 1002: "true,", 1003: "false,9"}, {T: {1000, 1001, 1003}}),
    ],
    ids=["available", "stock", "from and until", "two columns"],
)
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_what_a_file_says(
    recommender: ReleaseRecommender,
    tmp_path: Path,
    header: str,
    cells: dict[int, str],
    out_at: dict[int, set[int]],
    ending: str,
) -> None:
    names = ["item_id", *header.split(",")]
    lines = [",".join(names), *(f"{item},{told}" for item, told in cells.items()), "77" + "," * (len(names) - 1)]
    path, text = tmp_path / f"now.{ending}", "".join(f"{line}\n" for line in lines)
    if ending == "csv":
        path.write_text(text)
    else:
        pl.read_csv(io.StringIO(text)).write_parquet(path)
    read(path, recommender)
    only = {"only": [*range(1000, 1010)]}
    for moment, out in out_at.items():
        assert set(range(1000, 1010)) - set(listed(recommender, moment, rules=only)) == out, moment


def test_it_holds_for_every_candidate_source_for_similar_items_and_pins(
    recommender: ReleaseRecommender, tmp_path: Path
) -> None:
    queries: list[dict[str, Any]] = [
        {"history": [1003]},
        {},
        {"item_id": 1003},
        {"user_id": 7, "rules": {"pin": [1100], "where": "artist IS NOT NULL OR artist IS NULL"}},
        {"user_id": 7, "rules": {"at_most": {"artist": 1}}},
    ]
    before = [listed(recommender, k=20, **query) for query in queries]
    assert before[3][0] == 1100
    gone = {item for items in before for item in items}
    (tmp_path / "now.csv").write_text("sku,stock\n" + "".join(f"{item},0\n" for item in gone))
    read(tmp_path / "now.csv", recommender, item_id="sku")
    for query in queries:
        items = listed(recommender, k=20, **query)
        assert len(items) == 20
        assert not gone & set(items), query


def test_what_it_does_not_name_keeps_the_release_s_availability(
    recommender: ReleaseRecommender, tmp_path: Path
) -> None:
    store = recommender.release.store
    from_N, until_N = np.array(store.available.from_N), np.array(store.available.until_N)
    until_N[store.items.rows([1000, 1001])] = T - 1
    store.available = type(store.available)(from_N, until_N)
    (tmp_path / "now.csv").write_text("item_id,available\n1001,true\n1002,false\n")
    read(tmp_path / "now.csv", recommender)
    rules = {"only": [1000, 1001, 1002, 1003]}
    assert set(listed(recommender, rules=rules)) == {1001, 1003}
    (tmp_path / "now.csv").write_text("item_id,available\n1003,false\n")
    read(tmp_path / "now.csv", recommender)  # what an earlier file said is forgotten
    assert set(listed(recommender, rules=rules)) == {1002}


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(998, 1000 + NUM_ITEMS), st.booleans()), min_size=1))
def test_the_last_line_of_an_item_counts(
    opened: ReleaseRecommender, tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[int, bool]]
) -> None:
    lines = [(1000, True), *lines]
    path = tmp_path_factory.mktemp("lines") / "now.csv"
    path.write_text("item_id,available\n" + "".join(f"i{item},{told}\n" for item, told in lines))
    read(path, opened)
    out = {f"i{item}" for item, told in dict(lines).items() if not told and item in ALL}
    assert {f"i{item}" for item in ALL} - set(listed(opened, k=NUM_ITEMS)) == out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it needs the column item_id and one of available, stock, .*; it has none"),
        (b"item_id,available\n", "there are no items in it"),
        (b"item_id,available\n1000,true\n1001,tru", "the last line has no end, so the file may be half written"),
        (b"item_id,available\n1000,true\n1001\n", "line 3 has 1 fields, but the first line has 2"),
        (b"item_id,available\n1000,perhaps\n", "row 1: available is 'perhaps'; it must be true or false"),
        (b"item_id,stock\n1000,1\n1001,many\n", "row 2: stock is 'many'; it must be a number"),
        (b"item_id,available_from\n1000,soon\n", "row 1: available_from is 'soon'; write seconds since 1970 or an ISO"),
        (b"item_id,available_from\n1000,1767225600000\n", "row 1: .*; write seconds since 1970, not milliseconds"),
        (b"item_id,stock\n,1\n", "row 1 has no item_id"),
        (b"sku;stock\n1;1\n", "it needs the column item_id and one of .*; it has sku;stock"),
        (b"item_id,stock\n7,1\n", "the release knows none of its 1 items; check the column 'item_id'"),
        (b"item_id,stock\n\xff,1\n", "it cannot be read as a CSV in UTF-8"),
    ],
)
def test_a_broken_file_says_what_is_wrong(
    opened: ReleaseRecommender, tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "now.csv").write_bytes(content)
    with pytest.raises(AvailabilityError, match=rf"now\.csv: {message}"):
        read(tmp_path / "now.csv", opened)


def test_a_parquet_file_that_is_cut_is_refused(opened: ReleaseRecommender, tmp_path: Path) -> None:
    path = tmp_path / "now.parquet"
    pl.DataFrame({"item_id": ["i1000"], "stock": [1]}).write_parquet(path)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(AvailabilityError, match="it is no whole Parquet file; write it aside and rename it"):
        read(path, opened)


def test_a_recipe_with_another_kind_of_file_is_refused() -> None:
    text = (
        "name: a\nsource: {kind: synthetic}\nsplit: {kind: leave_one_out}\nserving: {availability: {path: now.txt}}\n"
    )
    with pytest.raises(RecipeError, match=r"serving\.availability\.path: 'now\.txt' is neither \.csv nor \.parquet"):
        parse_recipe(text)


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if request.param == "folder":
        yield str(tmp_path)
        return
    with moto_endpoint() as endpoint:
        for name, value in endpoint.environment.items():
            monkeypatch.setenv(name, value)
        yield f"s3://{endpoint.new_bucket()}/shop"


def test_the_last_good_file_stays_and_the_metrics_say_so(
    recommender: ReleaseRecommender, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    storage, failed = open_storage(place), AVAILABILITY_ERRORS._value.get()

    def errors() -> float:
        return AVAILABILITY_ERRORS._value.get() - failed

    watcher = AvailabilityWatcher(recommender, Settings(path=f"{place}/now.csv", every=3600))
    watcher.start()
    try:
        # There is no file yet: the availability of the release is in use.
        assert 1003 in listed(recommender)
        assert (errors(), AVAILABILITY_ITEMS.collect()[0].samples[0].value) == (1, 0)
        assert "there is nothing here; the release's own availability is in use" in caplog.text
        storage.write("now.csv", b"item_id,stock\n1003,0\n1004,1\n")
        watcher.look()
        assert 1003 not in listed(recommender)
        assert AVAILABILITY_ITEMS.collect()[0].samples[0].value == 2
        assert "can be read again; 2 items of the release are in it" in caplog.text
        caplog.clear()
        age = AVAILABILITY_AGE.collect()[0].samples[0].value
        for _ in range(3):
            storage.write("now.csv", b"item_id,stock\n1003,5\n1004,")
            watcher.look()
        assert 1003 not in listed(recommender)
        assert errors() == 4
        assert AVAILABILITY_AGE.collect()[0].samples[0].value > age
        assert [line for line in caplog.text.splitlines() if "WARNING" in line] == [
            line for line in caplog.text.splitlines() if "half written" in line and "last good file stays" in line
        ]
        assert caplog.text.count("half written") == 1
        storage.write("now.csv", b"item_id,stock\n1003,5\n")
        watcher.look()
        assert 1003 in listed(recommender)
    finally:
        watcher.stop()


def test_a_file_that_has_not_changed_is_not_read(
    opened: ReleaseRecommender, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage(place)
    storage.write("now.csv", b"item_id,stock\ni1003,0\n")
    file = AvailabilityFile(Settings(path=f"{place}/now.csv"), opened.release.store)
    assert file.read_if_changed() is not None
    with monkeypatch.context() as patched:
        patched.setattr(type(storage), "read", lambda *_: pytest.fail("read"))
        assert file.read_if_changed() is None
    storage.write("now.csv", b"item_id,stock\ni1003,1\n")
    assert file.read_if_changed() is not None
    storage.delete(["now.csv"])
    with pytest.raises(StorageError, match="there is nothing here"):
        file.read_if_changed()


def test_a_request_under_way_keeps_its_availability(recommender: ReleaseRecommender, tmp_path: Path) -> None:
    query = Query(k=20, user_id=7, time=T)
    before = listed(recommender, k=20, user_id=7)
    found = recommender.find([query])
    (tmp_path / "now.csv").write_text("item_id,available\n" + "".join(f"{item},false\n" for item in before))
    read(tmp_path / "now.csv", recommender)
    (answer,) = recommender.answers(found, None, None)
    assert [item["item_id"] for item in answer["items"]] == before
    assert not set(before) & set(listed(recommender, k=20, user_id=7))


def test_answers_while_it_is_swapped_are_of_one_file(recommender: ReleaseRecommender, tmp_path: Path) -> None:
    """Every list is from before or after a swap: the two files allow disjoint items."""
    halves = [{item for item in ALL if item % 2 == rest} for rest in (0, 1)]
    files = []
    for half in halves:
        path = tmp_path / f"{len(files)}.csv"
        path.write_text("item_id,available\n" + "".join(f"{item},{item in half}\n" for item in ALL))
        files.append(AvailabilityFile(Settings(path=str(path)), recommender.release.store).read_if_changed())
    recommender.use(files[0].available)  # type: ignore[union-attr]
    stop = threading.Event()

    def swap() -> None:
        for file in itertools.cycle(files):
            recommender.use(file.available)  # type: ignore[union-attr]
            if stop.is_set():
                return

    swapping = threading.Thread(target=swap)
    swapping.start()
    seen = set()
    try:
        for n in range(300):
            items = set(
                listed(recommender, k=50, user_id=n % NUM_USERS + 1, rules={"where": "artist IS NULL OR length > -9"})
            )
            assert items <= halves[0] or items <= halves[1]
            seen.add(items <= halves[0])
    finally:
        stop.set()
        swapping.join()
    assert len(seen) == 2


def test_the_service_reads_it_again(tmp_path: Path) -> None:
    file = tmp_path / "now.csv"
    file.write_text("item_id,available\n1003,false\n")
    serving = f"{{deadline_ms: 20000, availability: {{path: {file}, every: 1s}}}}"
    make_release(tmp_path / "made", num_items=NUM_ITEMS, num_users=NUM_USERS, ranks=False, serving=serving)
    query = {"k": 1, "rules": {"only": [1003, 1004], "pin": [1003]}}
    with LocalService(tmp_path / "made") as service:
        assert service.ask(query)["items"][0]["item_id"] == 1004
        file.write_text("item_id,available\n1004,false\n")
        _wait(lambda: service.ask(query)["items"][0]["item_id"] == 1003)
        file.unlink()
        _wait(lambda: "shortlist_availability_errors_total 0.0" not in _metrics(service))
        assert service.ask(query)["items"][0]["item_id"] == 1003
        assert "shortlist_availability_items 1.0" in _metrics(service)
        assert "now.csv: there is nothing here; the last good file stays in use" in service.logs["transformer"]
    (tmp_path / "other.csv").write_text("item_id,available\n1003,false\n")
    with LocalService(tmp_path / "made", availability=str(tmp_path / "other.csv")) as service:
        assert service.ask(query)["items"][0]["item_id"] == 1004


def test_another_file_of_another_kind_is_refused(unranked: Path) -> None:
    with pytest.raises(ValueError, match=r"--availability: 'now\.txt' is neither \.csv nor \.parquet"):
        Service.open(unranked, "shortlist", None, availability="now.txt")


def _wait(holds: Any) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _metrics(service: LocalService) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{service.http_port}/metrics") as answer:
        text: str = answer.read().decode()
    return text
