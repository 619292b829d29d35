"""The app under test: applied by kubectl, asked by a client in a pod of its own."""

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import yaml
from releases import QUERIES, Served

from shortlist.serving.ports import free_ports
from shortlist.storage import Storage, open_storage

NAMESPACE = "shortlist"
TAG = os.environ.get("SHORTLIST_IMAGES", "0.1.0")
REGISTRY = os.environ.get("SHORTLIST_REGISTRY", "")
MINIO = os.environ.get("SHORTLIST_MINIO", "")
BUCKET = "shortlist"
ROOT = f"s3://{BUCKET}/cluster-test"
_REPOSITORY = Path(__file__).parents[2]
_CLIENT = "load"
_S3 = {"AWS_ACCESS_KEY_ID": "minio", "AWS_SECRET_ACCESS_KEY": "minio123", "AWS_DEFAULT_REGION": "us-east-1"}


def kubectl(*arguments: str, given: str | None = None, check: bool = True) -> str:
    done = subprocess.run(["kubectl", *arguments], input=given, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise AssertionError(f"kubectl {' '.join(arguments[:6])}: {done.stderr or done.stdout}")
    return done.stdout


class App:
    """The overlay `kind`, with the images that this cluster has."""

    def __init__(self, folder: Path) -> None:
        # kustomize takes only what lies below the folder that is built.
        shutil.copytree(_REPOSITORY / "manifests", folder / "manifests")
        images = [
            {"name": f"shortlist/{name}", "newName": f"{REGISTRY}shortlist/{name}", "newTag": TAG}
            for name in ("transformer", "predictor")
        ]
        if MINIO:
            name, _, tag = MINIO.rpartition(":")
            images.append({"name": "quay.io/minio/minio", "newName": name, "newTag": tag})
        releases = {"name": "releases", "behavior": "merge", "literals": [f"RELEASES={ROOT}"]}
        self._overlay: dict[str, Any] = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": NAMESPACE,
            "resources": ["manifests/overlays/kind"],
            # An S3 that may be killed.
            "components": ["manifests/components/minio"],
            "images": images,
            "configMapGenerator": [releases],
        }
        self.folder = folder
        self.transformer_image = f"{REGISTRY}shortlist/transformer:{TAG}"
        self._write(self._overlay)

    def apply(self, *options: str) -> str:
        return kubectl("apply", "-k", str(self.folder), *options)

    def overlaid(self, component: str, patches: list[dict[str, Any]]) -> AbstractContextManager[None]:
        """Applied with a component of manifests/ and patches, and as before afterwards."""
        components = [*self._overlay["components"], f"manifests/components/{component}"]
        return self._changed(components=components, patches=patches)

    def rooted(self, root: str) -> AbstractContextManager[None]:
        """Applied with another RELEASES, and as before afterwards."""
        generator = self._overlay["configMapGenerator"][0] | {"literals": [f"RELEASES={root}"]}
        return self._changed(configMapGenerator=[generator])

    @contextmanager
    def _changed(self, **fields: Any) -> Iterator[None]:
        self._write(self._overlay | fields)
        try:
            self.apply()
            yield
        finally:
            self._write(self._overlay)
            self.apply()

    def _write(self, overlay: dict[str, Any]) -> None:
        (self.folder / "kustomization.yaml").write_text(yaml.safe_dump(overlay))

    def wait_until_ready(self, seconds: int = 300) -> None:
        for component in ("predictor", "transformer"):
            eventually(lambda name=component: bool(self.pods(name)), seconds)  # type: ignore[misc]
            kubectl("-n", NAMESPACE, "rollout", "status", f"deployment/shortlist-{component}", f"--timeout={seconds}s")

    @contextmanager
    def storage(self, root: str = ROOT) -> Iterator[Storage]:
        """A root of releases in the cluster's S3, from here."""
        kubectl("-n", NAMESPACE, "rollout", "status", "deployment/minio", "--timeout=120s")
        (port,) = free_ports(1)
        command = ["kubectl", "-n", NAMESPACE, "port-forward", "service/minio", f"{port}:9000"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as forward:
            try:
                assert forward.stdout is not None
                assert "Forwarding" in forward.stdout.readline()
                os.environ |= _S3 | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
                yield open_storage(root)
            finally:
                forward.terminate()

    def pods(self, component: str) -> list[str]:
        """Names of the pods that are ready and not on their way out."""
        found = json.loads(
            kubectl("-n", NAMESPACE, "get", "pods", "-l", f"app=isvc.shortlist-{component}", "-o", "json")
        )
        return [pod["metadata"]["name"] for pod in found["items"] if _is_ready(pod)]

    def scale(self, replicas: int) -> None:
        spec = {component: {"minReplicas": replicas} for component in ("transformer", "predictor")}
        self.patch({"spec": spec})
        eventually(lambda: all(len(self.pods(one)) == replicas for one in ("transformer", "predictor")), 180)

    def pin(self, release: str) -> None:
        """Start from this release, whatever an earlier session left."""
        there = f"releases/{release}"
        spec: dict[str, Any] = {"transformer": {"annotations": {"shortlist/release": there}}}
        spec["predictor"] = {"annotations": {"shortlist/release": there, "shortlist/beside": there}}
        self.patch({"spec": spec})
        for component in ("transformer", "predictor"):
            path = "jsonpath={.spec.template.metadata.annotations.shortlist/release}"
            deployment = ("-n", NAMESPACE, "get", "deployment", f"shortlist-{component}", "-o", path)
            eventually(lambda asked=deployment: kubectl(*asked) == there, 60)  # type: ignore[misc]

    def patch(self, change: Any) -> None:
        kubectl("-n", NAMESPACE, "patch", "isvc", "shortlist", "--type=merge", "-p", json.dumps(change))

    @contextmanager
    def client(self) -> Iterator[None]:
        """The pod that asks; it holds the image of the transformer, and nothing of it runs."""
        kubectl("-n", NAMESPACE, "delete", "pod", _CLIENT, "--ignore-not-found", "--wait")
        kubectl("apply", "-f", "-", given=json.dumps(_client_pod(self.transformer_image)))
        kubectl("-n", NAMESPACE, "wait", "--for=condition=Ready", f"pod/{_CLIENT}", "--timeout=120s")
        try:
            yield
        finally:
            kubectl("-n", NAMESPACE, "delete", "pod", _CLIENT, "--wait=false")

    @contextmanager
    def load(self, *, clients: int = 4, per_second: float = 20, seconds: float = 300) -> Iterator["Seen"]:
        """Asked all the while; what was seen is there afterwards. It ends with the block, or after `seconds`."""
        script = Path(__file__).with_name("load.py").read_text()
        kubectl("-n", NAMESPACE, "exec", "-i", _CLIENT, "--", "sh", "-c", "cat > /tmp/load.py", given=script)
        url = f"http://shortlist-transformer.{NAMESPACE}/v1/models/shortlist:predict"
        limits = ["--clients", str(clients), "--per_second", str(per_second), "--seconds", str(seconds)]
        seen = Seen()
        with subprocess.Popen(
            ["kubectl", "-n", NAMESPACE, "exec", "-i", _CLIENT, "--", "python", "/tmp/load.py", url, *limits],
            stdin=subprocess.PIPE,
            stdout=(self.folder / "seen.jsonl").open("w"),
            text=True,
        ) as process:
            assert process.stdin is not None
            process.stdin.write(json.dumps(QUERIES))
            process.stdin.close()
            time.sleep(3)
            try:
                yield seen
                time.sleep(3)
            finally:
                kubectl("-n", NAMESPACE, "exec", _CLIENT, "--", "touch", "/tmp/stop")
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(30)
                process.kill()
        seen.lines = [json.loads(line) for line in (self.folder / "seen.jsonl").read_text().splitlines()]


class Seen:
    """What each request of a load saw."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    @property
    def failed(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if "error" in line]

    @property
    def degraded(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if line.get("degraded")]

    def mixed(self, *releases: Served) -> list[dict[str, Any]]:
        """Answers that are not, item by item, what the release that they name answers to that query."""
        by_name = {one.name: one for one in releases}
        wrong = []
        for line in self.lines:
            if "error" in line:
                continue
            served = by_name[line["release"]]
            wanted = (served.retrieved if line["degraded"] else served.ranked)[line["query"]]
            if line["items"] != wanted:
                wrong.append(line)
        return wrong

    def told(self) -> str:
        """One line for a person."""
        answered = Counter(line["release"] for line in self.lines if "error" not in line)
        reasons = Counter(str(line["degraded"]).partition(":")[0] for line in self.degraded)
        errors = Counter(str(line["error"]).partition(":")[0] for line in self.failed)
        slowest = max((line["ms"] for line in self.lines), default=0)
        return (
            f"{len(self.lines)} requests: {len(self.failed)} failed {dict(errors)}, {len(self.degraded)} degraded "
            f"{dict(reasons)}, answered by {dict(answered)}, slowest {slowest:.0f} ms"
        )


def eventually(happened: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"not after {seconds} seconds"
        time.sleep(0.3)


def _is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]


def _client_pod(image: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": _CLIENT, "namespace": NAMESPACE},
        "spec": {
            "automountServiceAccountToken": False,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {
                    "name": "client",
                    "image": image,
                    "command": ["sleep", "86400"],
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                }
            ],
        },
    }
