"""What docs/figures.md quotes of the cluster. It prints; no time is asserted."""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from app import NAMESPACE, App, Seen, kubectl
from kubernetes import client, config, watch
from releases import QUERIES, Releases

from shortlist.serving.deploy.rehearsal import pod_of
from shortlist.serving.local import LocalService

_STARTS, _ROUNDS, _SECONDS = 5, 5, 8.0


@pytest.mark.parametrize("component", ["transformer", "predictor"])
def test_from_a_new_pod_to_ready(app: App, component: str) -> None:
    config.load_config()
    took = []
    for _ in range(_STARTS):
        (old,) = app.pods(component)
        kubectl("-n", NAMESPACE, "delete", "pod", old, "--grace-period=0", "--force", "--wait=false")
        took.append(seconds_to_ready(component, old))
    print(f"\n{component}, created to Ready: {', '.join(f'{one:.1f}' for one in sorted(took))} s")


def test_ways_of_a_release_to_a_pod(app: App, releases: Releases) -> None:
    """From a new pod to Ready: loaded by the service itself, by an init container of ours, by KServe's initializer."""
    config.load_config()
    took: dict[str, list[float]] = {way: [] for way in ("itself", "init container", "KServe's initializer")}
    for _ in range(_STARTS):
        for way, values in took.items():
            values.append(start_pod(way, releases.first.name))
    for way, values in took.items():
        print(f"\n{way}: {', '.join(f'{one:.1f}' for one in sorted(values))} s, median {statistics.median(values):.1f}")


def start_pod(way: str, release: str) -> float:
    """A transformer that no Service leads to; the way is all that differs."""
    found = json.loads(kubectl("-n", NAMESPACE, "get", "deployment", "shortlist-transformer", "-o", "json"))
    pod = pod_of(found["spec"]["template"], "figures", f"releases/{release}")
    pod["metadata"]["labels"] = {"app": "isvc.shortlist-figures"}
    (main,) = pod["spec"]["containers"]
    mounted = {"volumeMounts": main["volumeMounts"], "envFrom": main["envFrom"], "env": main["env"]}
    mounted |= {"securityContext": main["securityContext"]}
    where = "$(RELEASES)/$(RELEASE)"
    if way == "init container":
        program = (
            "import sys, pathlib; from shortlist.answer.release import find_release; "
            "find_release(sys.argv[1], pathlib.Path('/releases'))"
        )
        command = ["python", "-c", program, where]
        pod["spec"]["initContainers"] = [{"name": "load", "image": main["image"], "command": command, **mounted}]
    if way == "KServe's initializer":
        path = "jsonpath={.spec.container.image}"
        image = kubectl("get", "clusterstoragecontainer", "default", "-o", path)
        pod["spec"]["initContainers"] = [
            {"name": "storage-initializer", "image": image, "args": [where, "/releases/here"], **mounted}
        ]
        main["args"] = ["--release=/releases/here", *main["args"][1:]]
    pod["metadata"]["namespace"] = NAMESPACE
    name = json.loads(kubectl("create", "-o", "json", "-f", "-", given=json.dumps(pod)))["metadata"]["name"]
    try:
        return seconds_to_ready("figures", "")
    finally:
        kubectl("-n", NAMESPACE, "delete", "pod", name, "--grace-period=0", "--force")


def test_through_the_service_and_on_localhost(app: App, releases: Releases) -> None:
    """The same client, release and queries, one request after the other, in turns."""
    there: list[float] = []
    here: list[float] = []
    script = str(Path(__file__).with_name("load.py"))
    with LocalService(releases.first.folder) as service:
        limits = ["--clients", "1", "--per_second", "0", "--seconds", str(_SECONDS)]
        for _ in range(_ROUNDS):
            done = subprocess.run(
                [sys.executable, script, service.url, *limits],
                input=json.dumps(QUERIES),
                capture_output=True,
                text=True,
                check=True,
            )
            here += after_warming_up([json.loads(line) for line in done.stdout.splitlines()])
            with app.load(clients=1, per_second=0, seconds=_SECONDS) as seen:
                time.sleep(_SECONDS)
            there += after_warming_up(seen.lines)
    for name, values in (("localhost", here), ("Service", there)):
        print(f"\n{name}: {len(values)} requests, {told(values)}", end="")
    ratios = [np.quantile(there, q) / np.quantile(here, q) for q in (0.5, 0.99)]
    print(f"\nService / localhost: p50 {ratios[0]:.2f}, p99 {ratios[1]:.2f}")


def seconds_to_ready(component: str, old: str) -> float:
    """From the event that a new pod is there to the one that it is ready, on this machine's clock."""
    created: dict[str, float] = {}
    events = watch.Watch().stream(
        client.CoreV1Api().list_namespaced_pod,
        NAMESPACE,
        label_selector=f"app=isvc.shortlist-{component}",
        timeout_seconds=300,
    )
    for event in events:
        pod = event["object"]
        if pod.metadata.name == old or pod.metadata.deletion_timestamp:
            continue
        start = created.setdefault(pod.metadata.name, time.monotonic())
        if any(one.type == "Ready" and one.status == "True" for one in pod.status.conditions or []):
            return time.monotonic() - start
    raise AssertionError(f"no {component} was ready after 300 s")


def after_warming_up(lines: list[dict[str, Any]]) -> list[float]:
    seen = Seen()
    seen.lines = lines
    assert not seen.failed, seen.told()
    return [line["ms"] for line in lines[20:] if not line["degraded"]]


def told(values: list[float]) -> str:
    p50, p99 = np.quantile(values, [0.5, 0.99])
    return f"p50 {p50:.2f} ms, p99 {p99:.2f} ms, mean {statistics.fmean(values):.2f} ms"
