"""What users see when something is killed. Each prints its count; only what no server can prevent may fail."""

import json
import subprocess
import time

from app import NAMESPACE, App, Seen, eventually, kubectl
from releases import Releases


def kill(pod: str) -> None:
    """As when its node loses power: no signal that it could hear, no time."""
    kubectl("-n", NAMESPACE, "delete", "pod", pod, "--grace-period=0", "--force", "--wait=false")


def recovered(app: App, replicas: int) -> None:
    eventually(lambda: all(len(app.pods(one)) == replicas for one in ("transformer", "predictor")), 180)


def report(what: str, seen: Seen, releases: Releases) -> None:
    print(f"\n{what}: {seen.told()}")
    assert seen.mixed(releases.first, releases.second) == []
    assert len(seen.lines) > 50


def test_a_predictor_of_two_is_killed(app: App, releases: Releases) -> None:
    app.scale(2)
    with app.load(clients=4, per_second=40, seconds=300) as seen:
        kill(app.pods("predictor")[0])
        recovered(app, 2)
    report("predictor killed, 1 of 2", seen, releases)
    assert seen.failed == []


def test_a_transformer_of_two_is_killed(app: App, releases: Releases) -> None:
    app.scale(2)
    with app.load(clients=4, per_second=40, seconds=300) as seen:
        kill(app.pods("transformer")[0])
        recovered(app, 2)
    report("transformer killed, 1 of 2", seen, releases)
    # Each client may lose what it had just asked, and what it asks until the others have heard.
    broken = {"ConnectionResetError", "RemoteDisconnected", "TimeoutError", "ConnectionRefusedError", "BrokenPipeError"}
    assert {str(line["error"]).partition(":")[0] for line in seen.failed} <= broken


def test_evictions_wait_for_the_budget_and_cost_nothing(app: App, releases: Releases) -> None:
    app.scale(2)
    with app.load(clients=4, per_second=40, seconds=600) as seen:
        for component in ("transformer", "predictor"):
            first, second = app.pods(component)
            assert evict(first)
            assert not evict(second), "the budget let both go"
            recovered(app, 2)
            assert evict(second)
            recovered(app, 2)
    report("all four evicted, one after the other", seen, releases)
    assert seen.failed == []


def test_the_only_predictor_is_killed(app: App, releases: Releases) -> None:
    app.scale(1)
    with app.load(clients=4, per_second=40, seconds=300) as seen:
        kill(app.pods("predictor")[0])
        time.sleep(2)
        recovered(app, 1)
    report("the only predictor killed", seen, releases)
    # Nobody ranks for a while: lists come in the order of retrieval.
    assert seen.failed == []
    assert seen.degraded


def test_the_only_transformer_is_killed(app: App, releases: Releases) -> None:
    app.scale(1)
    with app.load(clients=4, per_second=40, seconds=300) as seen:
        kill(app.pods("transformer")[0])
        time.sleep(2)
        recovered(app, 1)
    report("the only transformer killed", seen, releases)
    assert "error" not in seen.lines[-1], "it does not answer again"


def test_s3_is_gone(app: App, releases: Releases) -> None:
    app.scale(1)
    with app.load(clients=4, per_second=40, seconds=300) as seen:
        kubectl("-n", NAMESPACE, "scale", "deployment/minio", "--replicas=0")
        time.sleep(10)
    report("S3 gone", seen, releases)
    assert (seen.failed, seen.degraded) == ([], [])
    # A container that starts again finds its release on its pod's disk.
    (pod,) = app.pods("transformer")
    kubectl("-n", NAMESPACE, "exec", pod, "--", "python", "-c", "import os, signal; os.kill(1, signal.SIGTERM)")
    eventually(lambda: restarts(pod) == 1 and pod in app.pods("transformer"), 120)
    # A new pod has to wait for S3.
    kill(pod)
    time.sleep(20)
    assert app.pods("transformer") == []
    kubectl("-n", NAMESPACE, "scale", "deployment/minio", "--replicas=1")
    with app.storage() as root:
        releases.publish(root)
    recovered(app, 1)


def evict(pod: str) -> bool:
    """Asks for it as `kubectl drain` does; whether it was granted."""
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": NAMESPACE}}
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}/eviction"
    command = ["kubectl", "create", "--raw", path, "-f", "-"]
    done = subprocess.run(command, input=json.dumps(body), capture_output=True, text=True, check=False)
    if done.returncode:
        assert "disruption budget" in done.stderr, done.stderr
    return done.returncode == 0


def restarts(pod: str) -> int:
    path = "jsonpath={.status.containerStatuses[0].restartCount}"
    return int(kubectl("-n", NAMESPACE, "get", "pod", pod, "-o", path))
