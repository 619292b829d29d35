"""What a recipe's resources become in the pipeline, what older back ends get, and which recipes no cluster can run."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp.kubernetes.kubernetes_executor_config_pb2 import KubernetesExecutorConfig

from shortlist.pipelines.compile import COMPILED
from shortlist.pipelines.submit import Package, check_recipe, for_version, package
from shortlist.recipe import Recipe, RecipeError, load_recipe, parse_recipe

MINIMAL = "name: demo\nsource: {kind: synthetic}\nsplit: {kind: leave_one_out}\n"
BUCKET = "publish: {to: 's3://models/releases'}\n"
RESOURCES = """
resources:
  cpu: 2
  memory_gb: 2
  memory_limit_gb: 6
  node_selector: {kubernetes.io/os: linux}
  tolerations: [{key: gpu, operator: Exists, effect: NoSchedule}]
  env: {AWS_ENDPOINT_URL: "http://minio:9000"}
  secrets: [{name: bucket, env: {AWS_ACCESS_KEY_ID: user, AWS_SECRET_ACCESS_KEY: key}}]
  volumes: [{claim: raw, path: /data}]
  retries: 2
  timeout: 2h
  steps:
    train_retrieval: {gpus: 2, cpu: 8, node_selector: {pool: gpu}, retries: 0}
"""


def recipe(extra: str = "") -> Recipe:
    return parse_recipe(MINIMAL + extra)


def executor(made: Package, step: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The step's container and what Kubernetes gives its pod."""
    pipeline: Any
    platform: Any
    pipeline, platform = made.documents
    pods = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    return pipeline["deploymentSpec"]["executors"][f"exec-{step}"]["container"], pods[f"exec-{step}"]


def test_a_recipe_without_resources_is_run_by_the_very_file_that_is_checked_in() -> None:
    assert package(recipe()).documents == list(yaml.safe_load_all(COMPILED.read_text()))


def test_every_step_gets_what_is_for_all_and_one_step_its_own() -> None:
    made = package(recipe(RESOURCES), image="registry/pipeline:1")
    container, pod = executor(made, "ingest")
    asked = container["resources"]
    assert (asked["resourceCpuRequest"], asked["resourceMemoryRequest"]) == ("2000m", "2048Mi")
    assert asked["resourceMemoryLimit"] == "6144Mi"
    assert "accelerator" not in asked
    assert container["image"] == "registry/pipeline:1"
    assert container["env"] == [{"name": "AWS_ENDPOINT_URL", "value": "http://minio:9000"}]
    assert pod["nodeSelector"] == {"labels": {"kubernetes.io/os": "linux"}}
    assert pod["tolerations"] == [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert pod["pvcMount"][0] | {"mountPath": "/data", "constant": "raw"} == pod["pvcMount"][0]
    assert pod["activeDeadlineSeconds"] == "7200"
    keys = {one["envVar"]: one["secretKey"] for one in pod["secretAsEnv"][0]["keyToEnv"]}
    assert keys == {"AWS_ACCESS_KEY_ID": "user", "AWS_SECRET_ACCESS_KEY": "key"}

    container, pod = executor(made, "train-retrieval")
    assert container["resources"]["accelerator"]["resourceType"] == "nvidia.com/gpu"
    assert container["resources"]["accelerator"]["resourceCount"] == "2"
    assert container["resources"]["resourceCpuRequest"] == "8000m"
    assert container["resources"]["resourceMemoryLimit"] == "6144Mi", "as for all"
    assert pod["nodeSelector"] == {"labels": {"pool": "gpu"}}

    tasks = made.documents[0]["components"]["comp-exit-handler-1"]["dag"]["tasks"]  # type: ignore[index]
    assert tasks["ingest"]["retryPolicy"]["maxRetryCount"] == 2
    assert "retryPolicy" not in tasks["train-retrieval"]


def test_a_secret_in_the_open_is_refused_before_anything_is_compiled() -> None:
    with pytest.raises(RecipeError, match=r"AWS_SECRET_ACCESS_KEY looks like a secret.*secrets: \[\{name: my-secret"):
        recipe("resources: {env: {AWS_SECRET_ACCESS_KEY: hunter2}}\n")


def test_an_older_back_end_gets_the_same_steps_without_their_handler() -> None:
    whole = package(recipe())
    old, left_out = for_version(whole, (2, 0, 5))
    assert left_out == ["the exit handler"]
    before: Any = whole.documents[0]
    after: Any = old.documents[0]
    steps = before["components"]["comp-exit-handler-1"]["dag"]["tasks"]
    assert after["root"]["dag"]["tasks"].keys() == steps.keys()
    for name, task in after["root"]["dag"]["tasks"].items():
        assert task["inputs"].get("artifacts") == steps[name]["inputs"].get("artifacts")
        for given, source in task["inputs"]["parameters"].items():
            assert source in ({"componentInputParameter": given}, steps[name]["inputs"]["parameters"][given])
            assert "pipelinechannel" not in str(source)
        assert after["components"][f"comp-{name}"] == before["components"][f"comp-{name}"]
        executors = [one["deploymentSpec"]["executors"][f"exec-{name}"] for one in (before, after)]
        assert executors[0] == executors[1]
    assert "TASK_FINAL_STATUS" not in yaml.safe_dump(after)
    assert for_version(whole, (2, 14, 0)) == (whole, [])


@pytest.mark.parametrize(
    ("version", "left_out"),
    [((2, 0, 5), ["the exit handler", "timeout", "tolerations"]), ((2, 3, 0), ["the exit handler"])],
)
def test_an_older_back_end_gets_only_fields_that_it_knows(version: tuple[int, ...], left_out: list[str]) -> None:
    old, told = for_version(package(recipe(RESOURCES)), version)
    assert told == left_out
    _, pod = executor(old, "ingest")
    newer = set() if version >= (2, 1) else {"tolerations", "activeDeadlineSeconds"}
    known = {"secretAsEnv", "pvcMount", "nodeSelector", "tolerations", "activeDeadlineSeconds"} - newer
    assert pod.keys() == known
    assert [secret.keys() for secret in pod["secretAsEnv"]] == [{"secretName", "keyToEnv"}]
    assert [mount.keys() for mount in pod["pvcMount"]] == [{"constant", "mountPath"}]
    # All that is dropped has an old spelling that today's reader takes for the same.
    assert KubernetesExecutorConfig(secret_as_env=[{"secret_name": pod["secretAsEnv"][0]["secretName"]}])


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ("", "publish.to: '.work/releases' would be deleted with the pod of the step: write s3://bucket/prefix"),
        ("publish: {to: /mnt/releases}", "publish.to: '/mnt/releases' would be deleted"),
    ],
)
def test_a_release_must_outlive_the_pod(extra: str, said: str) -> None:
    with pytest.raises(RecipeError) as refused:
        check_recipe(recipe(extra), "shop.yaml")
    assert str(refused.value).startswith("shop.yaml: 1 error for a run on a cluster")
    assert said in str(refused.value)


def test_files_of_this_machine_are_refused_each_by_its_place(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(
        f"name: shop\nsplit: {{kind: leave_one_out}}\n{BUCKET}"
        "source:\n  kind: files\n"
        "  events: [{path: 's3://raw/events.csv'}, {path: more.csv}]\n"
        "  items: {path: /data/items.csv}\n"
    )
    shop = load_recipe(tmp_path / "shop.yaml")
    with pytest.raises(RecipeError) as refused:
        check_recipe(shop, "shop.yaml")
    assert "source.events.1.path: 'more.csv'" in str(refused.value)
    assert "source.items.path: '/data/items.csv'" in str(refused.value)
    assert "s3://raw/events.csv" not in str(refused.value)


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("{}", "tracking.uri: without an address, runs would be logged to a folder that is deleted"),
        ("{uri: .work/mlflow}", "tracking.uri: '.work/mlflow' would be deleted with the pod of the step"),
    ],
)
def test_a_tracking_server_must_be_named(block: str, said: str) -> None:
    with pytest.raises(RecipeError) as refused:
        check_recipe(recipe(f"{BUCKET}tracking: {block}\n"), "shop.yaml")
    assert str(refused.value).startswith("shop.yaml: 1 error for a run on a cluster")
    assert said in str(refused.value)
    check_recipe(recipe(f"{BUCKET}tracking: {{uri: 'http://mlflow:5000'}}\n"), "shop.yaml")
    env = "resources: {env: {MLFLOW_TRACKING_URI: 'http://mlflow:5000'}}\n"
    check_recipe(recipe(f"{BUCKET}tracking: {{}}\n{env}"), "shop.yaml")


def test_a_mounted_volume_is_seen_by_the_steps() -> None:
    check_recipe(recipe("publish: {to: /data/releases}\n" + RESOURCES), "shop.yaml")
    with pytest.raises(RecipeError):
        check_recipe(recipe("publish: {to: /database/releases}\n" + RESOURCES), "shop.yaml")
