"""A transformer pod of the new release without traffic."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from shortlist.serving.deploy.cluster import RELEASE, Cluster, is_ready
from shortlist.serving.deploy.errors import ClusterError
from shortlist.serving.deploy.rollout import check_can_start, poll

_SELECTED_BY = ("app", "serving.kserve.io/inferenceservice")
"""Labels by which the Service, the Deployment, the disruption budget and KServe's webhook select pods."""
_LIFE_SECONDS = 900


@contextmanager
def rehearsal(cluster: Cluster, release: str, seconds: float) -> Iterator[str]:
    """The name of a ready pod from the template of the live transformer; the pod is deleted afterwards.

    `release` is the value of the annotation. Raises ClusterError with the pod's log if it does not become ready.
    """
    name = cluster.create_pod(pod_of(cluster.template("transformer"), cluster.service, release))
    try:
        _wait(cluster, name, seconds)
        yield name
    finally:
        cluster.delete_pod(name)


def pod_of(template: dict[str, Any], service: str, release: str) -> dict[str, Any]:
    """The pod: the template without the labels by which it would receive traffic."""
    metadata = template["metadata"]
    labels = {key: value for key, value in metadata.get("labels", {}).items() if key not in _SELECTED_BY}
    annotations = metadata.get("annotations", {}) | {RELEASE: release}
    # The pod ends by itself if this process cannot delete it.
    spec = template["spec"] | {"restartPolicy": "Never", "activeDeadlineSeconds": _LIFE_SECONDS}
    named = {"generateName": f"{service}-rehearsal-", "labels": labels, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": named, "spec": spec}


def _wait(cluster: Cluster, name: str, seconds: float) -> None:
    def look() -> None:
        pod = cluster.pod(name)
        check_can_start(cluster, pod)
        if pod.status.phase == "Failed":
            raise ClusterError(f"pod {name} ended: {cluster.log_tail(pod) or pod.status.reason}")

    try:
        poll(lambda: is_ready(cluster.pod(name)), look, seconds)
    except TimeoutError:
        raise ClusterError(f"pod {name} was not ready after {seconds:g} s") from None
