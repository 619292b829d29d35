"""Checks that both releases of a deploy are below the root of releases that the manifests set."""

from typing import Any

from shortlist.serving.deploy.cluster import Cluster
from shortlist.serving.deploy.errors import ClusterError, RefusedError
from shortlist.serving.deploy.rollout import poll


def check_release_root(cluster: Cluster, root: str | None, seconds: float) -> None:
    """Raises RefusedError when the release is below another root than that of the pods; `root` is None if unknown."""
    try:
        poll(cluster.names_same_root, lambda: None, seconds)
    except TimeoutError:
        raise ClusterError(
            f"KServe has not applied the newest spec of InferenceService {cluster.service} after {seconds:g} s; see "
            f"`kubectl -n {cluster.namespace} describe inferenceservice {cluster.service}`"
        ) from None
    pods_root = cluster.releases_root()
    if root is not None and pods_root is not None and pods_root.rstrip("/") != root.rstrip("/"):
        raise RefusedError(
            f"the release is below {root}, but the pods of {cluster.service} read {pods_root}; "
            "set RELEASES in the overlay's configMapGenerator and apply it, or publish there (publish.to)"
        )


def check_live_root(cluster: Cluster, live: str, live_pod: Any, release: str) -> None:
    """Raises RefusedError when a new pod could not load the live release, because the root has changed."""
    now, before = cluster.releases_root(), cluster.releases_root(live_pod)
    if now != before:
        raise RefusedError(
            f"{live} was loaded from {before or 'a root whose ConfigMap was deleted'}, but new pods read releases "
            f"below {now}, so that the predictor cannot load it next to {release}. Deploy with --replace to drop it "
            "(no request is lost, but lists are unranked while the predictor is rolled out), or apply the previous "
            "RELEASES"
        )
