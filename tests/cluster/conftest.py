"""The app on the cluster of KUBECONFIG: `make cluster-test`. Without a KUBECONFIG these tests are skipped.

The cluster has KServe; the tests bring an S3 of their own. What differs between clusters comes from the environment:

    SHORTLIST_IMAGES    tag of shortlist/transformer and shortlist/predictor on the nodes (default 0.1.0)
    SHORTLIST_REGISTRY  what their names start with, for a cluster that pulls (default: as they are)
    SHORTLIST_MINIO     image of MinIO, for a cluster that cannot pull the public one
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from app import App
from releases import Releases

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.timeout(1200))


@pytest.fixture(scope="session")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Releases:
    return Releases.make(tmp_path_factory.mktemp("releases"))


@pytest.fixture(scope="session")
def app(releases: Releases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The overlay `kind` with an S3 of its own, on the first release; it stays when the tests end."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG is not set; these tests need a cluster (docs/cluster.md)")
    app = App(tmp_path_factory.mktemp("app"))
    app.apply()
    with app.storage() as root:
        releases.publish(root)
    app.pin(releases.first.name)
    app.wait_until_ready()
    with app.client():
        yield app
