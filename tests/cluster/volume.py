"""A volume that the steps of a run mount, and a pod that reads and writes it for a test."""

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from app import kubectl
from runs import IMAGE, NAMESPACE


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
