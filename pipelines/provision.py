"""Applies a recipe's `resources` to a task: requests, limits, nodes, secrets, volumes and retries."""

from kfp import kubernetes
from kfp.dsl import PipelineTask

from shortlist.recipe import Resources


def provision(task: PipelineTask, given: Resources) -> None:
    """Set the resources of the task's pod. The pipeline contains the names of secrets, never their values."""
    task.set_cpu_request(_number(given.cpu))
    task.set_memory_request(f"{_mebibytes(given.memory_gb)}Mi")
    if given.memory_limit_gb is not None:
        task.set_memory_limit(f"{_mebibytes(given.memory_limit_gb)}Mi")
    if given.gpus:
        task.set_accelerator_type(given.gpu_resource).set_accelerator_limit(given.gpus)
    for label, value in given.node_selector.items():
        kubernetes.add_node_selector(task, label, value)
    for one in given.tolerations:
        kubernetes.add_toleration(task, one.key, one.operator, one.value, one.effect)
    for name, value in given.env.items():
        task.set_env_variable(name, value)
    for secret in given.secrets:
        kubernetes.use_secret_as_env(task, secret.name, {key: name for name, key in secret.env.items()})
    for volume in given.volumes:
        kubernetes.mount_pvc(task, volume.claim, volume.path)
    if given.retries:
        task.set_retry(given.retries, backoff_duration="10s")
    if given.timeout is not None:
        kubernetes.set_timeout(task, given.timeout)


def _mebibytes(gigabytes: float) -> int:
    return max(round(gigabytes * 1024), 1)


def _number(cpu: float) -> str:
    return f"{round(cpu * 1000)}m"
