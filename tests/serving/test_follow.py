"""A service that goes over to another release while it is asked."""

import http.client
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from released import NUM_ITEMS, NUM_USERS

from benchmarks.made_release import make_release
from shortlist.answer.query import Query
from shortlist.answer.release_recommender import ReleaseRecommender
from shortlist.ranking.ranker import Ranker
from shortlist.release.bundle import read_manifest
from shortlist.release.registry import promote, publish
from shortlist.serving.child import ServiceError
from shortlist.serving.follow import follow
from shortlist.serving.local import LocalService
from shortlist.storage import open_storage

USERS = range(1, 9)
AT = 3600


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Other vectors, another ranker, and longer histories allowed, which makes longer bodies."""
    folder = tmp_path_factory.mktemp("other") / "made"
    serving = "{deadline_ms: 20000, max_k: 600, max_history: 200000}"
    make_release(folder, num_items=NUM_ITEMS, num_users=NUM_USERS, serving=serving, seed=1)
    return folder


def lists_of(release: Path) -> dict[int, list[Any]]:
    """User -> the list that this release alone makes."""
    recommender = ReleaseRecommender.open(release)
    ranker = (
        Ranker.open(release / "ranking", release / "retrieval", recommender.release.store)
        if recommender.release.ranks
        else None
    )
    lists = {}
    for user in USERS:
        found = recommender.find([Query(k=10, user_id=user, time=AT)])
        ranks = ranker.score(found.request) if ranker is not None and found.request is not None else None
        (answer,) = recommender.answers(found, ranks, None)
        lists[user] = [item["item_id"] for item in answer["items"]]
    return lists


@contextmanager
def load(service: LocalService, clients: int = 4) -> Iterator[list[dict[str, Any]]]:
    """Clients that each keep one connection open and ask without a second try; what they saw."""
    seen: list[dict[str, Any]] = []
    done = threading.Event()

    def client(at: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", service.http_port, timeout=60)
        while not done.is_set():
            at += 1
            user = USERS[at % len(USERS)]
            body = json.dumps({"instances": [{"user_id": user, "k": 10, "time": AT}]})
            try:
                connection.request("POST", "/v1/models/shortlist:predict", body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                content = json.loads(answer.read())
                seen.append({"user": user, "status": answer.status, **content["predictions"][0], "asked": user})
            except Exception as error:  # noqa: BLE001  # whatever a client meets is a failed request
                seen.append({"asked": user, "status": repr(error)})
                connection.close()
            time.sleep(0.01)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        done.set()
        for thread in threads:
            thread.join()


def check(seen: list[dict[str, Any]], lists: dict[str, dict[int, list[Any]]]) -> list[str]:
    """Every request was answered, and wholly by the release that it names; the releases in the order of the answers."""
    assert [one for one in seen if one["status"] != 200] == []
    assert [one["degraded"] for one in seen if one["degraded"] is not False] == []
    for one in seen:
        assert [item["item_id"] for item in one["items"]] == lists[one["release"]][one["asked"]]
    return list(dict.fromkeys(one["release"] for one in seen))


@pytest.mark.parametrize("workers", [1, 2])
def test_under_load_no_request_fails_and_none_is_mixed(
    release: Path, other: Path, unranked: Path, workers: int
) -> None:
    names = [read_manifest(folder).name for folder in (release, other)]
    lists = {name: lists_of(folder) for name, folder in zip(names, (release, other), strict=True)}
    with LocalService(release, workers=workers) as service:
        with load(service) as seen:
            time.sleep(1.0)
            service.switch_to(other)
            at = len(seen)
            time.sleep(1.0)
        assert check(seen, lists) == names
        # Up to 4 clients may have had an answer of the old one that they had not yet written down.
        assert {one["release"] for one in seen[at + 4 :]} == {names[1]}
        assert len(seen) > at + 4
        # What depends on the release goes over as well: how long a body may be, and what the service says of itself.
        service.ask({"history": ["i" * 60] * 40_000, "k": 1})
        connection = http.client.HTTPConnection("127.0.0.1", service.http_port, timeout=60)
        connection.request("GET", "/openapi.json")
        assert json.loads(connection.getresponse().read())["info"]["version"] == names[1]
        connection.close()
        # To a release without a ranker there is no predictor, and none is left.
        service.switch_to(unranked)
        assert service.ask({"history": ["i1003"]})["release"] == read_manifest(unranked).name
        assert service.pids.keys() == {"transformer"}


def test_what_cannot_be_served_leaves_the_old_one_answering(release: Path, other: Path, tmp_path: Path) -> None:
    """A ranker and a query tower that cannot be read, in folders whose hashes nobody has checked."""
    lists = {read_manifest(release).name: lists_of(release)}
    with LocalService(release) as service, load(service) as seen:
        for name in ("ranking/ranking.json", "retrieval/query_tower.onnx"):
            broken = tmp_path / name.partition("/")[0]
            shutil.copytree(other, broken)
            assert (broken / name).exists()
            (broken / name).write_text("{}")
            with pytest.raises((ServiceError, ValueError)):
                service.switch_to(broken)
            assert service.release == read_manifest(release).name
        time.sleep(0.5)
    assert check(seen, lists) == [read_manifest(release).name]


def eventually(happened: Callable[[], bool], seconds: float = 120) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not happened():
        time.sleep(0.1)
    return happened()


def test_a_service_follows_the_pointer(release: Path, other: Path, tmp_path: Path) -> None:
    root, said = open_storage(str(tmp_path / "releases/made")), []
    first = publish(root, release, replaces=None).release
    where = tmp_path / "releases/made/releases"

    class EndedError(Exception):
        """Ends the following from outside."""

    def say(line: str) -> None:
        said.append(line)

    with LocalService(where / first) as service:
        alive, ended = service.check_alive, threading.Event()

        def check_alive() -> None:
            alive()
            if ended.is_set():
                raise EndedError

        service.check_alive = check_alive  # type: ignore[method-assign]

        def run() -> None:
            with pytest.raises(EndedError):
                follow(service, root, tmp_path / "cache", say)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            second = publish(root, other, replaces=first).release
            assert eventually(lambda: service.ask({"user_id": 3})["release"] == second), said
            # A broken one is told once, and what answers goes on; the pointer is read on.
            assert eventually(lambda: said[-1:] == [f"release {second} is in service"])
            promote(root, first)
            assert eventually(lambda: said[-1:] == [f"release {first} is in service"]), said
            (where / second / "retrieval/vectors.npy").write_bytes(b"")
            pointer = json.loads((tmp_path / "releases/made/live.json").read_text())
            (tmp_path / "releases/made/live.json").write_text(json.dumps(pointer | {"release": second}))
            assert eventually(lambda: "cannot be served" in said[-1]), said
            time.sleep(5)
            assert sum("cannot be served" in line for line in said) == 1
            assert service.ask({"user_id": 3})["release"] == first
        finally:
            ended.set()
            thread.join(30)
