"""A cluster of one InferenceService in this process: pods, annotations and roots, without Kubernetes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from shortlist.serving.deploy.cluster import BESIDE, RELEASE, Cluster, Component

OLD, NEW = "releases/00000000000000aa", "releases/00000000000000bb"


def pod(release: str, *, beside: str = "", root: str = "s3://a", ending: bool = False, grace: int = 40) -> Any:
    metadata = SimpleNamespace(
        name=f"pod-of-{release}",
        annotations={RELEASE: release, BESIDE: beside},
        deletion_timestamp="now" if ending else None,
        deletion_grace_period_seconds=grace if ending else None,
    )
    status = SimpleNamespace(
        phase="Running", container_statuses=[], conditions=[SimpleNamespace(type="Ready", status="True")]
    )
    return SimpleNamespace(metadata=metadata, status=status, root=root)


class FakeCluster(Cluster):
    """Rolls a component over at once; what its pods are asked they answer from their annotation."""

    def __init__(self, root: str = "s3://a", pods_root: str = "s3://a") -> None:
        self.namespace, self.service = "shortlist", "shortlist"
        self.root = root
        self.there: dict[Component, list[Any]] = {
            "transformer": [pod(OLD, root=pods_root)],
            "predictor": [pod(OLD, beside=OLD, root=pods_root)],
        }
        self.written: list[tuple[Component, dict[str, str]]] = []
        self.fails: str | None = None

    def inference_service(self) -> dict[str, Any]:
        return {"spec": {name: {"annotations": pods[0].metadata.annotations} for name, pods in self.there.items()}}

    def annotate(self, component: Component, found: Mapping[str, str], wanted: Mapping[str, str]) -> None:
        self.written.append((component, dict(wanted)))
        if not self.fails:
            release, beside = wanted[RELEASE], wanted.get(BESIDE, "")
            self.there[component] = [pod(release, beside=beside, root=self.root)]

    def deployment(self, component: Component) -> Any:
        replicas = len(self.there[component])
        status = SimpleNamespace(
            observed_generation=1, updated_replicas=replicas, available_replicas=replicas, replicas=replicas
        )
        template = SimpleNamespace(metadata=self.pods(component)[0].metadata)
        return SimpleNamespace(
            spec=SimpleNamespace(template=template, replicas=replicas),
            status=status,
            metadata=SimpleNamespace(generation=1),
        )

    def _pods(self, component: Component) -> list[Any]:
        return self.there[component]

    def names_same_root(self) -> bool:
        return True

    def releases_root(self, pod: Any | None = None) -> str | None:
        return self.root if pod is None else str(pod.root)

    def create_pod(self, body: dict[str, Any]) -> str:
        return "rehearsal"

    def delete_pod(self, name: str) -> None:
        pass

    def pod(self, name: str) -> Any:
        return pod(NEW)

    def template(self, component: Component) -> dict[str, Any]:
        return {"metadata": {}, "spec": {}}

    @contextmanager
    def connected_to(self, pod: str) -> Iterator[Any]:
        release = NEW if pod == "rehearsal" else pod.removeprefix("pod-of-")
        answer = {
            "items": [{"item_id": 1}],
            "release": release.removeprefix("releases/"),
            "degraded": False,
            "unknown_items": 0,
            "timings_ms": {"total": 1.0},
        }
        yield lambda query: answer
