"""The two towers trained by as many processes as the recipe gives GPUs and nodes.

| `resources` | what trains |
|---|---|
| no GPU, or one | this process |
| several GPUs in the step's pod | `torchrun` in this pod, a process a GPU |
| `distributed` | a TrainJob of Kubeflow Trainer on several nodes, `torchrun` in each; without Trainer as above |

The nodes share a folder on a mounted volume (ReadWriteMany): the step puts its input there, starts the job, waits, and
takes the checkpoints back. They stay in the folder, so a step that is tried again goes on with them; and so does what
the processes said, since Kubernetes removes the pods of a job that fails.
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
    """What is asked of Kubernetes."""

    image: str
    """That this step runs in."""

    def create(self, job: dict[str, Any]) -> bool:
        """Whether the cluster knows TrainJobs."""

    def conditions(self, name: str) -> list[dict[str, Any]]:
        """What is known of the job by now. Raises ValueError when it is gone."""

    def delete(self, name: str) -> None:
        """Nothing, when it is gone already."""


def train(recipe: Recipe, prepared: Prepared, out: Path, connect: Callable[[], Cluster]) -> StepResult:
    """Train on all parts of `prepared`; `out` holds the checkpoints. Raises ValueError when the job fails."""
    if recipe.resources.distributed is not None:
        cluster = connect()
        result = _by_job(recipe, prepared, out, cluster)
        if result is not None:
            return result
        say("warning: this cluster has no Kubeflow Trainer; trains in this pod alone")
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
        raise ValueError(f"one of {processes} training processes failed; the lines above say why")
    result = StepResult.model_validate_json((work / "result.json").read_text())
    shutil.rmtree(work)
    return result


def _by_job(recipe: Recipe, prepared: Prepared, out: Path, cluster: Cluster) -> StepResult | None:
    """None when the cluster knows no TrainJobs."""
    assert recipe.resources.distributed is not None
    shared = Path(recipe.resources.distributed.folder) / recipe.name
    shared.mkdir(parents=True, exist_ok=True)
    current = shared / "job"
    if current.exists():
        # Left by a step that was killed, or of a run that goes on beside this one: two would write the same files.
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
        last = "".join(f"\n{line}" for line in _last_words(shared / "logs"))
        raise ValueError(f"TrainJob {name} failed: {failed}; {shared / 'logs'} has what its processes said{last}")
    shutil.copytree(shared / "towers", out, dirs_exist_ok=True)
    return StepResult.model_validate_json((shared / "result.json").read_text())


def _job_name(recipe: Recipe) -> str:
    """It begins with a letter, and what JobSet appends for a thousand pods still fits into 63 characters."""
    return f"towers-{recipe.name[:30]}-{os.urandom(4).hex()}"


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM, which a run that is terminated sends, becomes an exception: by itself no `finally` would see it."""

    def end(*_: object) -> None:
        # Argo sends it again at once, which must not break off what the first one began.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sys.exit(1)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _last_words(logs: Path) -> list[str]:
    """What each process said last, each once: the errors that ended them."""
    said = [path.read_text(errors="replace").rstrip() for path in logs.rglob("stderr.log")]
    return sorted({text.rpartition("\n")[2] for text in said if text})


def _wait(cluster: Cluster, name: str) -> str | None:
    """Until the job is over; why it failed, if it did."""
    while True:
        for condition in cluster.conditions(name):
            if condition["type"] in _OVER and condition["status"] == "True":
                return str(condition.get("message", "")) if condition["type"] == "Failed" else None
        time.sleep(_EVERY_SECONDS)


def train_job(name: str, recipe: Recipe, shared: Path, image: str) -> dict[str, Any]:
    """The TrainJob: the step's resources on each node, and the volumes that the nodes share.

    The runtime's plug-in for Torch tells `torchrun` by its environment how many nodes there are and who is the first.
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
