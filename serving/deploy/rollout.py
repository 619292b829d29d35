"""Waits for pods, and gives up early when they cannot become ready."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from shortlist.serving.deploy.cluster import Cluster, Component, is_ready
from shortlist.serving.deploy.errors import ClusterError

_POLL_SECONDS = 0.5
_HOPELESS = {"CrashLoopBackOff", "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError"}
_USER_ERROR = 2
_KILL_SECONDS = 10.0
"""Time after the grace period for the node to kill a pod and to report it."""


def wait_for_rollout(cluster: Cluster, component: Component, wanted: Mapping[str, str], seconds: float) -> None:
    """Wait until all pods of a component have these annotations and are available, and no other pod can respond.

    Raises ClusterError with the log of a new pod that cannot start, or after `seconds`.
    """
    _wait_for_new_pods(cluster, component, wanted, seconds)
    wait_for_ending_pods(cluster, component, wanted)


def _wait_for_new_pods(cluster: Cluster, component: Component, wanted: Mapping[str, str], seconds: float) -> None:

    def done() -> bool:
        found = cluster.deployment(component)
        status = found.status
        return bool(
            _carries(found.spec.template, wanted)
            and (status.observed_generation or 0) >= found.metadata.generation
            and (status.updated_replicas or 0) == (status.available_replicas or 0) == found.spec.replicas
            and (status.replicas or 0) == found.spec.replicas
        )

    def look() -> None:
        for pod in cluster.pods(component):
            if _carries(pod, wanted):
                check_can_start(cluster, pod)

    try:
        poll(done, look, seconds)
    except TimeoutError:
        states = ", ".join(f"{pod.metadata.name} {_state(pod)}" for pod in cluster.pods(component))
        raise ClusterError(f"the {component} was not rolled out after {seconds:g} s: {states}") from None


def wait_for_ending_pods(cluster: Cluster, component: Component, wanted: Mapping[str, str]) -> None:
    """Wait until no pod with other annotations is left.

    An ending pod still responds, so that no request is lost. It is killed after its grace period. A pod that is listed
    even after that is on a node that does not report any more, and is ignored.
    """
    first_seen: dict[str, float] = {}
    while True:
        now = time.monotonic()
        ending = [pod for pod in cluster.ending_pods(component) if not _carries(pod, wanted)]
        for pod in ending:
            first_seen.setdefault(pod.metadata.name, now)
        if all(now - first_seen[pod.metadata.name] > _grace(pod) + _KILL_SECONDS for pod in ending):
            return
        time.sleep(_POLL_SECONDS)


def _grace(pod: Any) -> float:
    return float(pod.metadata.deletion_grace_period_seconds or 0)


def poll(done: Callable[[], bool], look: Callable[[], None], seconds: float) -> None:
    """Wait until `done`; `look` raises an error if waiting is pointless. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError
        look()
        time.sleep(_POLL_SECONDS)


def check_can_start(cluster: Cluster, pod: Any) -> None:
    """Raises ClusterError with the log of a pod if it cannot start."""
    for status in pod.status.container_statuses or []:
        waiting, ended = status.state.waiting, status.last_state.terminated or status.state.terminated
        # Our services use exit code 2 for errors that only a user can fix.
        if (waiting and waiting.reason in _HOPELESS) or (ended and ended.exit_code == _USER_ERROR):
            why = cluster.log_tail(pod) or (waiting.message if waiting else "") or _state(pod)
            raise ClusterError(f"pod {pod.metadata.name} does not start: {why}")


def _carries(templated: Any, wanted: Mapping[str, str]) -> bool:
    present = templated.metadata.annotations or {}
    return all(present.get(key, "") == value for key, value in wanted.items())


def _state(pod: Any) -> str:
    if is_ready(pod):
        return "ready"
    for status in pod.status.container_statuses or []:
        if status.state.waiting:
            return str(status.state.waiting.reason)
    unscheduled = [one.message for one in pod.status.conditions or [] if one.reason == "Unschedulable"]
    return f"unschedulable ({unscheduled[0]})" if unscheduled else str(pod.status.phase).lower()
