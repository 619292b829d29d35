"""Which processes train the towers, and the TrainJob of several nodes."""

import json
import os
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from kubeflow_trainer_api import models
from pydantic import BaseModel

from shortlist.dataset.prepared import Prepared
from shortlist.recipe import Recipe, RecipeError, parse_recipe
from shortlist.retrieval import train_job
from shortlist.step_result import StepResult

RECIPE = """
name: shop
source: {kind: synthetic}
split: {kind: leave_one_out}
resources:
  volumes: [{claim: shared, path: SHARED}]
  env: {NCCL_DEBUG: INFO}
  secrets: [{name: bucket, env: {AWS_SECRET_ACCESS_KEY: key}}]
  distributed: {nodes: 2, folder: SHARED/training}
  steps:
    train_retrieval:
      cpu: 8
      memory_gb: 32
      memory_limit_gb: 64
      gpus: 4
      timeout: 6h
      node_selector: {pool: gpu}
      tolerations: [{key: gpu, operator: Exists}]
"""


def recipe(shared: Path) -> Recipe:
    return parse_recipe(RECIPE.replace("SHARED", str(shared)))


def prepared(folder: Path) -> Prepared:
    """Of files that are of prepare by name only; each part lies elsewhere."""
    for name in ("a/features/schema.json", "b/samples/user.npy", "c/queries/test/user.npy"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(name)
    return Prepared(features=folder / "a/features", samples=folder / "b/samples", queries=folder / "c/queries")


class Cluster:
    """Kubernetes with a Trainer that needs two looks: its job writes what the first process would."""

    image = "registry/pipeline:1"

    def __init__(self, ending: str = "Complete", *, has_trainer: bool = True) -> None:
        self.ending, self.has_trainer = ending, has_trainer
        self.jobs: dict[str, dict[str, Any]] = {}
        self.deleted: list[str] = []
        self.looks = 0

    def create(self, job: dict[str, Any]) -> bool:
        if self.has_trainer:
            self.jobs[job["metadata"]["name"]] = job
        return self.has_trainer

    def conditions(self, name: str) -> list[dict[str, Any]]:
        self.looks += 1
        if self.looks == 1:
            return [{"type": "Suspended", "status": "False"}]
        _, features, samples, queries, out, result = map(Path, self.jobs[name]["spec"]["trainer"]["args"])
        Prepared(features=features, samples=samples, queries=queries)
        for process, last in enumerate(("no CUDA device", "no CUDA device", "")):
            log = out.parent / f"logs/none_{process}/attempt_0/0/stderr.log"
            log.parent.mkdir(parents=True)
            log.write_text(f"Traceback\nTrainingError: {last}\n\n" if last else "")
        out.mkdir(exist_ok=True)
        shutil.copy(samples / "user.npy", out / "checkpoint")
        result.write_text(StepResult(metrics={"epochs": 3}).model_dump_json())
        return [{"type": self.ending, "status": "True", "message": "the pods had no GPU"}]

    def delete(self, name: str) -> None:
        self.deleted.append(name)


def strict(value: Any, read: Any, path: str = "") -> None:
    """Every field of the manifest is one that the API's model has read: nothing is silently dropped."""
    if isinstance(value, dict):
        inside = read.to_dict() if isinstance(read, BaseModel) else read
        for key, item in value.items():
            assert key in inside, f"{path}.{key} is no field of the API"
            strict(item, inside[key], f"{path}.{key}")
    elif isinstance(value, list):
        for i, item in enumerate(value):
            strict(item, read[i], f"{path}[{i}]")


def test_the_manifest_is_one_that_the_api_of_trainer_knows(tmp_path: Path) -> None:
    job = train_job.train_job("shop-1", recipe(tmp_path), tmp_path / "training/shop", "registry/pipeline:1")
    read = models.TrainerV1alpha1TrainJob.from_dict(job)
    assert read is not None
    strict(job, read)
    trainer = job["spec"]["trainer"]
    assert (trainer["numNodes"], trainer["numProcPerNode"]) == (2, 4)
    assert trainer["resourcesPerNode"]["limits"] == {"nvidia.com/gpu": "4", "memory": "65536Mi"}
    assert trainer["resourcesPerNode"]["requests"] == {"cpu": "8.0", "memory": "32768Mi"}
    pod = job["spec"]["runtimePatches"][0]["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"][0]
    assert pod["template"]["spec"]["template"]["spec"]["nodeSelector"] == {"pool": "gpu"}
    assert "key" in json.dumps(trainer["env"]), "a secret is named"
    assert job["spec"]["activeDeadlineSeconds"] == 6 * 3600, "nobody waits any longer"


def test_the_step_puts_its_input_into_the_shared_folder_and_takes_the_checkpoints_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_job, "_EVERY_SECONDS", 0.0)
    cluster = Cluster()
    result = train_job.train(recipe(tmp_path / "shared"), prepared(tmp_path), tmp_path / "out", lambda: cluster)
    assert (tmp_path / "out/checkpoint").read_text() == "b/samples/user.npy"
    assert result.metrics == {"epochs": 3}
    assert cluster.looks == 2
    assert cluster.deleted == list(cluster.jobs), "the job is gone when the step ends"


def test_a_job_that_fails_says_why_and_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_job, "_EVERY_SECONDS", 0.0)
    cluster = Cluster("Failed")
    old = tmp_path / "shared/training/shop/logs/none_9/attempt_0/0/stderr.log"
    old.parent.mkdir(parents=True)
    old.write_text("said in an earlier run")
    with pytest.raises(ValueError, match=r"failed: the pods had no GPU; .* in .*/training/shop/logs\s") as raised:
        train_job.train(recipe(tmp_path / "shared"), prepared(tmp_path), tmp_path / "out", lambda: cluster)
    assert str(raised.value).splitlines()[1:] == ["TrainingError: no CUDA device"]
    assert cluster.deleted == list(cluster.jobs)


def test_a_step_that_is_told_to_end_takes_its_job_along(tmp_path: Path) -> None:
    class Terminated(Cluster):
        def conditions(self, name: str) -> list[dict[str, Any]]:
            os.kill(os.getpid(), signal.SIGTERM)
            return super().conditions(name)

        def delete(self, name: str) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            super().delete(name)

    before, cluster = signal.getsignal(signal.SIGTERM), Terminated()
    with pytest.raises(SystemExit):
        train_job.train(recipe(tmp_path / "shared"), prepared(tmp_path), tmp_path / "out", lambda: cluster)
    assert cluster.deleted == list(cluster.jobs) != []
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_job_of_a_step_that_was_killed_ends_before_the_next_begins(tmp_path: Path) -> None:
    shared = tmp_path / "shared/training/shop"
    shared.mkdir(parents=True)
    (shared / "job").write_text("towers-shop-1")
    cluster = Cluster()
    cluster.looks = 1
    train_job.train(recipe(tmp_path / "shared"), prepared(tmp_path), tmp_path / "out", lambda: cluster)
    assert cluster.deleted == ["towers-shop-1", *cluster.jobs]
    assert [(shared / "job").read_text()] == [*cluster.jobs]


@pytest.mark.parametrize("name", ["shop", "2-shops", "s" * 63])
def test_kubernetes_takes_the_name_of_the_job_and_those_made_of_it(tmp_path: Path, name: str) -> None:
    cluster = Cluster(has_trainer=True)
    named = recipe(tmp_path / "shared").model_copy(update={"name": name})
    cluster.looks = 1
    train_job.train(named, prepared(tmp_path), tmp_path / "out", lambda: cluster)
    (job,) = cluster.jobs
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", job)
    assert len(f"{job}-node-0-999-abcde") <= 63


def test_without_trainer_the_step_trains_in_its_own_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained: list[Prepared] = []

    def alone(recipe: Recipe, prepared: Prepared, out: Path) -> StepResult:
        trained.append(prepared)
        return StepResult()

    monkeypatch.setattr(train_job, "train_retrieval", alone)
    given, cluster = prepared(tmp_path), Cluster(has_trainer=False)
    train_job.train(recipe(tmp_path / "shared"), given, tmp_path / "out", lambda: cluster)
    assert trained == [given]
    assert "no Kubeflow Trainer; training runs in this pod only" in capsys.readouterr().out
    assert cluster.deleted == []


def test_nodes_that_share_no_folder_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"distributed\.folder '/elsewhere' is not below a volume"):
        parse_recipe(RECIPE.replace("SHARED/training", "/elsewhere").replace("SHARED", "/data"))
