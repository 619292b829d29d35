"""Releases of random numbers, and the real services of one of them, started once."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from released import NUM_ITEMS, NUM_USERS

from benchmarks.made_release import make_release
from shortlist.serving.local import LocalService

# A busy machine must not make an answer degraded where that is not what is tested.
PATIENT = "{deadline_ms: 20000, max_k: 600}"


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release") / "made"
    make_release(folder, num_items=NUM_ITEMS, num_users=NUM_USERS, serving=PATIENT)
    return folder


@pytest.fixture(scope="session")
def unranked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unranked") / "made"
    make_release(folder, num_items=NUM_ITEMS, num_users=NUM_USERS, ranks=False, text_ids=True)
    return folder


@pytest.fixture(scope="session")
def service(release: Path) -> Iterator[LocalService]:
    with LocalService(release) as running:
        yield running


@pytest.fixture(scope="session")
def labelled_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the objectives `positive` and `liked`."""
    folder = tmp_path_factory.mktemp("labelled") / "made"
    make_release(folder, num_items=NUM_ITEMS, num_users=NUM_USERS, serving=PATIENT, labels=["liked"])
    return folder


@pytest.fixture(scope="session")
def labelled(labelled_release: Path) -> Iterator[LocalService]:
    with LocalService(labelled_release) as running:
        yield running
