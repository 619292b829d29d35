"""Where pods look for releases, which the manifests decide, and whether both releases of a swap lie there."""

from typing import Any

from shortlist.serving.deploy.cluster import Cluster
from shortlist.serving.deploy.errors import ClusterError, RefusedError
from shortlist.serving.deploy.rollout import poll


def check_release_root(cluster: Cluster, root: str | None, seconds: float) -> None:
    """Raises RefusedError when the release lies below another root than pods read; `root` is None where unknown."""
    try:
        poll(cluster.names_same_root, lambda: None, seconds)
    except TimeoutError:
        raise ClusterError(
            f"KServe has not applied the newest spec of InferenceService {cluster.service} after {seconds:g} s; see "
            f"`kubectl -n {cluster.namespace} describe inferenceservice {cluster.service}`"
        ) from None
    there = cluster.releases_root()
    if root is not None and there is not None and there.rstrip("/") != root.rstrip("/"):
        raise RefusedError(
            f"the release lies below {root}, and the pods of {cluster.service} read {there}; "
            "set RELEASES in the overlay's configMapGenerator and apply it, or publish there (publish.to)"
        )


def check_live_root(cluster: Cluster, live: str, live_pod: Any, release: str) -> None:
    """Raises RefusedError when a pod that starts now could not load the live release, because the root has changed."""
    now, before = cluster.releases_root(), cluster.releases_root(live_pod)
    if now != before:
        raise RefusedError(
            f"{live} answers from {before or 'a root whose ConfigMap is gone'}, but pods that start now read releases "
            f"below {now}, so the predictor cannot load it beside {release}. Deploy with --replace to do without it "
            "(no request is lost, but answers come unranked while the predictor rolls over), or apply the former "
            "RELEASES"
        )
