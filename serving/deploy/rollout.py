"""Waiting for pods, and giving up early when they say that they never will be ready."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from shortlist.serving.deploy.cluster import Cluster, Component, is_ready
from shortlist.serving.deploy.errors import ClusterError

_POLL_SECONDS = 0.5
_HOPELESS = {"CrashLoopBackOff", "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError"}
_USERS_MISTAKE = 2
_KILL_SECONDS = 10.0
"""After the grace period, for the node to kill a pod and say so."""


def wait_for_rollout(cluster: Cluster, component: Component, wanted: Mapping[str, str], seconds: float) -> None:
    """Until every pod of a component carries these annotations and is available, and no other pod can answer.

    Raises ClusterError with what a new pod says when it cannot start, or after `seconds`.
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
    """Until no pod with other annotations is left.

    A pod that ends goes on answering, so that no request is lost. It is killed when its grace period is over; one that
    is listed even after that is of a node that does not report any more, and is not waited for.
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
    """Until `done`; `look` raises what makes waiting pointless. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError
        look()
        time.sleep(_POLL_SECONDS)


def check_can_start(cluster: Cluster, pod: Any) -> None:
    """Raises ClusterError when a pod has said that it cannot, with its own words."""
    for status in pod.status.container_statuses or []:
        waiting, ended = status.state.waiting, status.last_state.terminated or status.state.terminated
        # Exit code 2 is our services' own: what only a person can mend.
        if (waiting and waiting.reason in _HOPELESS) or (ended and ended.exit_code == _USERS_MISTAKE):
            why = cluster.log_tail(pod) or (waiting.message if waiting else "") or _state(pod)
            raise ClusterError(f"pod {pod.metadata.name} does not start: {why}")


def _carries(templated: Any, wanted: Mapping[str, str]) -> bool:
    there = templated.metadata.annotations or {}
    return all(there.get(key, "") == value for key, value in wanted.items())


def _state(pod: Any) -> str:
    if is_ready(pod):
        return "ready"
    for status in pod.status.container_statuses or []:
        if status.state.waiting:
            return str(status.state.waiting.reason)
    unscheduled = [one.message for one in pod.status.conditions or [] if one.reason == "Unschedulable"]
    return f"unschedulable ({unscheduled[0]})" if unscheduled else str(pod.status.phase).lower()
