"""Trains the two towers with one process per GPU, on one or several nodes.

| `resources` | training processes |
|---|---|
| no GPU, or one | this process |
| several GPUs in the step's pod | `torchrun` in this pod, one process per GPU |
| `distributed` | a TrainJob of Kubeflow Trainer on several nodes, `torchrun` in each; without Trainer as above |

The nodes share a folder on a mounted volume (ReadWriteMany): the step writes its input there, starts the job, waits for
it, and copies the checkpoints back. The checkpoints stay in the folder, so a retried step continues from them. The logs
of the processes stay too, since Kubernetes removes the pods of a failed job.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch

from shortlist.dataset.prepared import FOLDERS, Prepared
from shortlist.progress import say
from shortlist.recipe import Recipe, dump_recipe
from shortlist.retrieval.train_retrieval import train_retrieval
from shortlist.step_result import StepResult

_MODULE = "shortlist.retrieval.together"
_EVERY_SECONDS = 5.0
_OVER = ("Complete", "Failed")
_STDOUT_AND_STDERR = "3"


class Cluster(Protocol):
    """The interface to Kubernetes."""

    image: str
    """The image of this step."""

    def create(self, job: dict[str, Any]) -> bool:
        """Create the job; False if the cluster has no TrainJobs."""

    def conditions(self, name: str) -> list[dict[str, Any]]:
        """The current conditions of the job. Raises ValueError when it does not exist any more."""

    def delete(self, name: str) -> None:
        """Delete the job if it exists."""


def train(recipe: Recipe, prepared: Prepared, out: Path, connect: Callable[[], Cluster]) -> StepResult:
    """Train on all parts of `prepared`; `out` holds the checkpoints. Raises ValueError when the job fails."""
    if recipe.resources.distributed is not None:
        cluster = connect()
        result = _by_job(recipe, prepared, out, cluster)
        if result is not None:
            return result
        say("warning: this cluster has no Kubeflow Trainer; training runs in this pod only")
    gpus = torch.cuda.device_count() if recipe.retrieval.training.device != "cpu" else 0
    return _by_torchrun(recipe, prepared, out, gpus) if gpus > 1 else train_retrieval(recipe, prepared, out)


def _by_torchrun(recipe: Recipe, prepared: Prepared, out: Path, processes: int) -> StepResult:
    work = out.with_name(f"{out.name}.work")
    work.mkdir(parents=True, exist_ok=True)
    (work / "recipe.yaml").write_text(dump_recipe(recipe))
    paths = [str(path) for path in (work / "recipe.yaml", *prepared.folders.values(), out, work / "result.json")]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    done = subprocess.run([*torchrun, "-m", _MODULE, *paths], check=False)
    if done.returncode != 0:
        raise ValueError(f"one of {processes} training processes failed; the lines above have the reason")
    result = StepResult.model_validate_json((work / "result.json").read_text())
    shutil.rmtree(work)
    return result


def _by_job(recipe: Recipe, prepared: Prepared, out: Path, cluster: Cluster) -> StepResult | None:
    """None if the cluster has no TrainJobs."""
    assert recipe.resources.distributed is not None
    shared = Path(recipe.resources.distributed.folder) / recipe.name
    shared.mkdir(parents=True, exist_ok=True)
    current = shared / "job"
    if current.exists():
        # Left by a step that was killed, or of another run of the recipe: both jobs would write the same files.
        cluster.delete(current.read_text())
    for old in ("prepared", "logs"):
        shutil.rmtree(shared / old, ignore_errors=True)
    for part, folder in prepared.folders.items():
        shutil.copytree(folder, shared / "prepared" / part)
    (shared / "recipe.yaml").write_text(dump_recipe(recipe))
    name = _job_name(recipe)
    current.write_text(name)
    with _ended_by_sigterm():
        if not cluster.create(train_job(name, recipe, shared, cluster.image)):
            return None
        say(f"TrainJob {name}: started")
        try:
            failed = _wait(cluster, name)
        finally:
            cluster.delete(name)
    if failed is not None:
        last = "".join(f"\n{line}" for line in _last_lines(shared / "logs"))
        raise ValueError(f"TrainJob {name} failed: {failed}; the logs of its processes are in {shared / 'logs'}{last}")
    shutil.copytree(shared / "towers", out, dirs_exist_ok=True)
    return StepResult.model_validate_json((shared / "result.json").read_text())


def _job_name(recipe: Recipe) -> str:
    """A name that starts with a letter and stays within 63 characters with the suffix of JobSet for a thousand pods."""
    return f"towers-{recipe.name[:30]}-{os.urandom(4).hex()}"


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Convert SIGTERM, sent when a run is terminated, to an exception, so that `finally` blocks run."""

    def end(*_: object) -> None:
        # Argo sends it again immediately, which must not interrupt the clean-up.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sys.exit(1)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _last_lines(logs: Path) -> list[str]:
    """The last line of each process's log without duplicates: the errors that ended them."""
    texts = [path.read_text(errors="replace").rstrip() for path in logs.rglob("stderr.log")]
    return sorted({text.rpartition("\n")[2] for text in texts if text})


def _wait(cluster: Cluster, name: str) -> str | None:
    """Wait until the job has ended; returns the reason if it failed."""
    while True:
        for condition in cluster.conditions(name):
            if condition["type"] in _OVER and condition["status"] == "True":
                return str(condition.get("message", "")) if condition["type"] == "Failed" else None
        time.sleep(_EVERY_SECONDS)


def train_job(name: str, recipe: Recipe, shared: Path, image: str) -> dict[str, Any]:
    """The TrainJob: the step's resources on each node, and the volumes that the nodes share.

    The runtime's Torch plug-in passes the number of nodes and the address of the first one to `torchrun` in its
    environment.
    """
    given, distributed = recipe.resources.of("train_retrieval"), recipe.resources.distributed
    assert distributed is not None
    resources: dict[str, Any] = {"requests": {"cpu": str(given.cpu), "memory": f"{round(given.memory_gb * 1024)}Mi"}}
    limits = {given.gpu_resource: str(given.gpus)} if given.gpus else {}
    if given.memory_limit_gb is not None:
        limits["memory"] = f"{round(given.memory_limit_gb * 1024)}Mi"
    env: list[dict[str, Any]] = [{"name": key, "value": value} for key, value in given.env.items()]
    env += [
        {"name": key, "valueFrom": {"secretKeyRef": {"name": secret.name, "key": inside}}}
        for secret in given.secrets
        for key, inside in secret.env.items()
    ]
    pod = {
        "nodeSelector": given.node_selector,
        "tolerations": [one.model_dump(exclude_none=True) for one in given.tolerations],
        "volumes": [
            {"name": f"volume-{i}", "persistentVolumeClaim": {"claimName": one.claim}}
            for i, one in enumerate(given.volumes)
        ],
        "containers": [
            {
                "name": "node",
                "volumeMounts": [{"name": f"volume-{i}", "mountPath": one.path} for i, one in enumerate(given.volumes)],
            }
        ],
    }
    nodes = {"name": "node", "template": {"spec": {"template": {"spec": pod}}}}
    patch = {"template": {"spec": {"replicatedJobs": [nodes]}}}
    parts = [f"prepared/{part}" for part in FOLDERS]
    files = [str(shared / file) for file in ("recipe.yaml", *parts, "towers", "result.json")]
    kept = ["--log-dir", str(shared / "logs"), "--tee", _STDOUT_AND_STDERR]
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/part-of": "shortlist"}},
        "spec": {
            **({} if given.timeout is None else {"activeDeadlineSeconds": given.timeout}),
            "runtimeRef": {"name": distributed.runtime},
            "trainer": {
                "image": image,
                "command": ["torchrun", *kept, "-m", _MODULE],
                "args": files,
                "env": env,
                "numNodes": distributed.nodes,
                "numProcPerNode": max(given.gpus, 1),
                "resourcesPerNode": resources | ({"limits": limits} if limits else {}),
            },
            "runtimePatches": [{"manager": "shortlist.dev/pipeline", "trainingRuntimeSpec": patch}],
        },
    }
