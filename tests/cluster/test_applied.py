"""What lies in manifests/ is what the API server, with KServe's webhooks, takes; and it answers."""

import json
import subprocess
from typing import Any

import pytest
from app import NAMESPACE, App, kubectl
from releases import Releases

OVERLAYS = ("kind", "gpu", "knative")
OTHERS = ("Gateway", "HTTPRoute", "SecurityPolicy", "PodMonitor", "PrometheusRule")
"""Kinds of operators that this cluster need not have; kubeconform has checked them."""


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_api_server_would_take_it(app: App, overlay: str) -> None:
    text = kubectl("kustomize", str(app.folder / "manifests/overlays" / overlay))
    ours = [one for one in text.split("\n---\n") if not any(f"\nkind: {kind}\n" in f"\n{one}" for kind in OTHERS)]
    # In another namespace, where it is all new: what is there may not change its mode.
    there = "\n---\n".join(ours).replace(f"namespace: {NAMESPACE}\n", "namespace: default\n")
    said = kubectl("apply", "--dry-run=server", "-f", "-", given=there)
    assert "inferenceservice.serving.kserve.io/shortlist" in said


def test_the_webhooks_do_look(app: App) -> None:
    wrong = {"spec": {"transformer": {"minReplicas": 3, "maxReplicas": 1}}}
    command = ["kubectl", "-n", NAMESPACE, "patch", "isvc", "shortlist", "--type=merge", "--dry-run=server"]
    done = subprocess.run([*command, "-p", json.dumps(wrong)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "admission webhook" in done.stderr


def test_applying_again_changes_nothing_and_leaves_the_release_alone(app: App) -> None:
    change: Any = {"spec": {"transformer": {"annotations": {"tests/written-by": "somebody else"}}}}
    app.patch(change)
    before = kubectl("-n", NAMESPACE, "get", "isvc", "shortlist", "-o", "jsonpath={.spec}")
    assert "somebody else" in before
    app.apply()
    assert kubectl("-n", NAMESPACE, "get", "isvc", "shortlist", "-o", "jsonpath={.spec}") == before
    change["spec"]["transformer"]["annotations"]["tests/written-by"] = None
    app.patch(change)
    app.wait_until_ready()


def test_it_answers_ranked_lists_of_the_live_release(app: App, releases: Releases) -> None:
    with app.load(clients=2, per_second=20, seconds=10) as seen:
        pass
    assert len(seen.lines) > 20, seen.told()
    assert (seen.failed, seen.mixed(releases.first, releases.second)) == ([], []), seen.told()


def test_pods_cannot_write_and_have_no_token(app: App) -> None:
    for component in ("transformer", "predictor"):
        (pod, *_) = app.pods(component)
        program = (
            "import os, pathlib\n"
            "assert os.getuid() == 1000\n"
            "assert not pathlib.Path('/var/run/secrets/kubernetes.io').exists()\n"
            "try: pathlib.Path('/opt/x').touch()\n"
            "except OSError as error: print(error.errno)\n"
        )
        assert kubectl("-n", NAMESPACE, "exec", pod, "--", "python", "-c", program).strip() == "30"
