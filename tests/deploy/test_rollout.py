"""When a roll-out is over: not while a pod of the release before may still answer."""

import pytest
from fake_cluster import NEW, OLD, FakeCluster, pod

from shortlist.serving.deploy import rollout
from shortlist.serving.deploy.cluster import RELEASE
from shortlist.serving.deploy.rollout import wait_for_rollout


class Clock:
    """Stands in for the module `time`; whoever sleeps finds that time has passed."""

    def __init__(self, cluster: FakeCluster, ends_after: float) -> None:
        self.now, self._cluster, self._ends_after = 0.0, cluster, ends_after

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.now >= self._ends_after:
            self._cluster.there["transformer"] = self._cluster.pods("transformer")


@pytest.fixture
def cluster() -> FakeCluster:
    cluster = FakeCluster()
    cluster.there["transformer"] = [pod(NEW), pod(OLD, ending=True, grace=40)]
    return cluster


def test_it_waits_for_the_pods_that_end(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(cluster, ends_after=12)
    monkeypatch.setattr(rollout, "time", clock)
    wait_for_rollout(cluster, "transformer", {RELEASE: NEW}, 300)
    assert 12 <= clock.now < 13


def test_a_pod_of_a_lost_node_is_waited_for_until_it_should_have_been_killed(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(cluster, ends_after=1e9)
    monkeypatch.setattr(rollout, "time", clock)
    wait_for_rollout(cluster, "transformer", {RELEASE: NEW}, 300)
    assert 40 < clock.now < 60


def test_a_pod_of_this_release_may_end_meanwhile(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.there["transformer"] = [pod(NEW), pod(NEW, ending=True)]
    clock = Clock(cluster, ends_after=1e9)
    monkeypatch.setattr(rollout, "time", clock)
    wait_for_rollout(cluster, "transformer", {RELEASE: NEW}, 300)
    assert clock.now == 0
