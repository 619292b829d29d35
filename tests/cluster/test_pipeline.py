"""The pipeline on a real Kubeflow Pipelines, whose API is KF_PIPELINES_ENDPOINT and whose nodes have the image.

Where its artifacts and our releases lie is an S3, which pods and this machine may know by different addresses:

    SHORTLIST_PIPELINE_IMAGE   by default the released one
    SHORTLIST_S3               in pods, http://minio-service.kubeflow:9000 by default
    SHORTLIST_S3_SECRET        with the keys `accesskey` and `secretkey`; by default that of Kubeflow Pipelines itself
    SHORTLIST_BUCKET           one that is there; by default mlpipeline
    SHORTLIST_CLAIM            a persistent volume claim for the test of volumes; by default one on a folder of the node
"""

import json
import os
import random
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from app import kubectl

from components.image import PIPELINE_IMAGE

HOST = os.environ.get("KF_PIPELINES_ENDPOINT", "")
IMAGE = os.environ.get("SHORTLIST_PIPELINE_IMAGE", PIPELINE_IMAGE)
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not HOST, reason="KF_PIPELINES_ENDPOINT is not set; these tests need Kubeflow Pipelines"),
]
NAMESPACE = "kubeflow"
STEPS = ["validate", "prepare", "train-retrieval", "export", "build-index", "train-ranking"]


def recipe(more: str = "") -> str:
    secret = os.environ.get("SHORTLIST_S3_SECRET", "mlpipeline-minio-artifact")
    address = os.environ.get("SHORTLIST_S3", "http://minio-service.kubeflow:9000")
    bucket = os.environ.get("SHORTLIST_BUCKET", "mlpipeline")
    return f"""
name: tiny
source: {{kind: synthetic, users: 60, items: 200, events: 6000, days: 30}}
split: {{kind: temporal, test: 3d, valid: 3d}}
interactions: {{positive: played_ratio_pct >= 50}}
features: {{item: {{id_dim: 16, title: title}}}}
retrieval: {{dim: 16, hidden: [], training: {{epochs: 1}}}}
ranking: {{training: {{epochs: 1}}}}
publish: {{to: "s3://{bucket}/test-{uuid.uuid4().hex[:8]}"}}
resources:
  cpu: 0.1
  memory_gb: 1
  memory_limit_gb: 3
  node_selector: {{kubernetes.io/os: linux}}
  tolerations: [{{key: shortlist, operator: Exists, effect: NoSchedule}}]
  env: {{AWS_ENDPOINT_URL: "{address}", AWS_REGION: us-east-1}}
  secrets: [{{name: {secret}, env: {{AWS_ACCESS_KEY_ID: accesskey, AWS_SECRET_ACCESS_KEY: secretkey}}}}]
{more}
"""


def submit(folder: Path, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "tiny.yaml").write_text(text)
    command = [sys.executable, "-m", "shortlist.cli", "submit", "tiny.yaml", "--host", HOST, "--image", IMAGE, *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=3000, check=False)


def test_a_recipe_becomes_a_release_and_the_same_again_comes_from_the_cache(tmp_path: Path) -> None:
    text = recipe()
    # So little data that popularity is better: the gate must be overruled.
    first = submit(tmp_path, text, "--force")
    assert first.returncode == 0, first.stderr + first.stdout
    assert re.search(r"^published: release [0-9a-f]{16}", first.stdout, re.MULTILINE)
    assert re.search(r"^report: \w+://.*/report", first.stdout, re.MULTILINE)
    for step in ("survey", "ingest", *STEPS, "evaluate", "publish", "report"):
        assert f"\n{step}: done in " in first.stdout

    again = submit(tmp_path, text, "--force")
    assert again.returncode == 0, again.stderr + again.stdout
    assert "this very release is live already" in again.stdout
    for step in ("ingest", *STEPS):
        assert f"\n{step}: from the cache" in again.stdout


def test_a_step_that_fails_ends_with_its_own_words(tmp_path: Path) -> None:
    columns = "columns: {user_id: a, item_id: b, time: c}"
    gone = f"source: {{kind: files, events: [{{path: 's3://no-such-bucket-of-ours/x.csv', {columns}}}]}}"
    text = re.sub(r"source: .*", gone, recipe())
    failed = submit(tmp_path, text)
    assert failed.returncode == 1
    assert failed.stderr.startswith("ingest failed: ")
    assert "no-such-bucket-of-ours" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_more_memory_than_its_limit_ends_the_step(tmp_path: Path) -> None:
    text = recipe("  steps: {train_retrieval: {memory_limit_gb: 0.05, memory_gb: 0.05}}")
    killed = submit(tmp_path, text)
    assert killed.returncode == 1
    assert killed.stderr.startswith("train-retrieval failed: ")


def test_events_and_releases_may_lie_on_a_volume(tmp_path: Path) -> None:
    with claimed() as claim, writer(claim) as pod:
        inside = ("-n", NAMESPACE, "exec", "-i", pod, "--")
        kubectl(*inside, "sh", "-c", "mkdir /data/raw && cat > /data/raw/events.csv", given=events())
        text = re.sub(r"to: \".*\"", "to: /data/releases", recipe(f"  volumes: [{{claim: {claim}, path: /data}}]"))
        columns = "{user_id: listener, item_id: track, time: second}"
        raw = f"source: {{kind: files, events: [{{path: /data/raw/events.csv, columns: {columns}}}]}}"
        text = re.sub(r"source: .*", raw, text)
        text = re.sub(r"interactions: .*|features: .*", "", text)
        done = submit(tmp_path, text, "--force")
        assert done.returncode == 0, done.stderr + done.stdout
        release = re.search(r"^published: release ([0-9a-f]{16})", done.stdout, re.MULTILINE)
        assert release is not None, done.stdout
        live = json.loads(kubectl(*inside, "cat", "/data/releases/tiny/live.json"))
        assert live["release"] == release[1]


def events() -> str:
    """2,400 events of 60 listeners, within 30 days."""
    rng = random.Random(0)
    rows = [
        f"{listener},{rng.randrange(200)},{rng.randrange(30 * 86_400)}" for listener in range(60) for _ in range(40)
    ]
    return "\n".join(["listener,track,second", *rows, ""])


@contextmanager
def claimed() -> Iterator[str]:
    """A claim in the namespace of the runs; the default one needs a single node and no provisioner."""
    if claim := os.environ.get("SHORTLIST_CLAIM"):
        yield claim
        return
    name = f"shortlist-test-{uuid.uuid4().hex[:8]}"
    same: dict[str, Any] = {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "",
        "volumeName": name,
        "resources": {"requests": {"storage": "1Gi"}},
    }
    volume = {
        "capacity": {"storage": "1Gi"},
        "accessModes": same["accessModes"],
        "hostPath": {"path": f"/var/tmp/{name}", "type": "DirectoryOrCreate"},
    }
    metadata = {"name": name}
    of_claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata | {"namespace": NAMESPACE}}
    of_volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": volume}
    listed = {"apiVersion": "v1", "kind": "List", "items": [of_volume, of_claim | {"spec": same}]}
    kubectl("create", "-f", "-", given=json.dumps(listed))
    try:
        yield name
    finally:
        kubectl("-n", NAMESPACE, "delete", "pvc", name, "--wait=false")
        kubectl("delete", "pv", name, "--wait=false")


@contextmanager
def writer(claim: str) -> Iterator[str]:
    """A pod that mounts the claim at /data, and has made it writable for the user of the steps."""
    container = {
        "name": "writer",
        "image": IMAGE,
        "command": ["sh", "-c", "chown 1000:1000 /data && sleep 3600"],
        "securityContext": {"runAsUser": 0},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": claim, "namespace": NAMESPACE},
        "spec": {
            "containers": [container],
            "terminationGracePeriodSeconds": 0,
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}],
        },
    }
    kubectl("create", "-f", "-", given=json.dumps(pod))
    try:
        kubectl("-n", NAMESPACE, "wait", "--for=condition=Ready", f"pod/{claim}", "--timeout=300s")
        yield claim
    finally:
        kubectl("-n", NAMESPACE, "exec", claim, "--", "sh", "-c", "rm -rf /data/*", check=False)
        kubectl("-n", NAMESPACE, "delete", "pod", claim, "--wait=false")
