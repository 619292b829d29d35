"""The predictor by our ServingRuntime, its release by KServe's storage initializer."""

import json
import subprocess
import sys

from app import NAMESPACE, ROOT, App, eventually, kubectl
from releases import Releases


def test_it_answers_the_same_and_is_no_matter_of_deploy(app: App, releases: Releases) -> None:
    release = f"releases/{releases.first.name}"
    by_storage_uri = [{"op": "add", "path": "/spec/predictor/model/storageUri", "value": f"{ROOT}/{release}"}]
    login = [
        {
            "op": "add",
            "path": "/metadata/annotations",
            "value": {"serving.kserve.io/s3-endpoint": f"minio.{NAMESPACE}:9000", "serving.kserve.io/s3-usehttps": "0"},
        }
    ]
    patches = [
        {"target": {"kind": "InferenceService"}, "patch": json.dumps(by_storage_uri)},
        {"target": {"kind": "Secret", "name": "releases-s3"}, "patch": json.dumps(login)},
    ]
    with app.overlaid("serving-runtime", patches):
        eventually(initialized_by_kserve, 60)
        app.wait_until_ready()
        with app.load(clients=2, per_second=20, seconds=10) as seen:
            pass
        deploy = [sys.executable, "-m", "shortlist.cli", "deploy", releases.second.name]
        refused = subprocess.run(deploy, capture_output=True, text=True, check=False)
    app.wait_until_ready()
    eventually(lambda: not initialized_by_kserve(), 120)
    print(f"\nby ServingRuntime: {seen.told()}")
    assert len(seen.lines) > 20
    assert (seen.failed, seen.degraded, seen.mixed(releases.first)) == ([], [], [])
    assert refused.returncode == 1
    assert "storageUri" in refused.stderr


def initialized_by_kserve() -> bool:
    """KServe adds its initializer to the pods, and not to their Deployment."""
    pods = ("get", "pods", "-l", "app=isvc.shortlist-predictor")
    return "storage-initializer" in kubectl("-n", NAMESPACE, *pods, "-o", "jsonpath={.items[*].spec.initContainers}")
