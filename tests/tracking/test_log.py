"""Runs in a real MLflow: its database in a folder, its own server with an object store, and a server that is down."""

import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import boto3
import pytest
from mlflow.tracking import MlflowClient
from s3_server import moto_endpoint
from tracked_runs import MANIFEST, RECIPE, finished

from shortlist.recipe import Tracking
from shortlist.serving.ports import free_ports
from shortlist.tracking.log import track, track_or_warn
from shortlist.tracking.place import TrackingError, place_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    """A local folder, in which the database is made once."""
    return Tracking(uri=str(tmp_path_factory.mktemp("mlflow")), tags={"team": "search"})


@pytest.fixture(scope="module")
def client(folder: Tracking) -> MlflowClient:
    return MlflowClient(place_of(folder).uri)


def test_a_run_has_parameters_metrics_of_each_epoch_tags_and_artifacts(
    folder: Tracking, client: MlflowClient, tmp_path: Path
) -> None:
    logged = track(finished(tmp_path, "r1"), folder)
    run = client.get_run(logged.run_id)
    assert client.get_experiment(run.info.experiment_id).name == "music"
    assert run.info.status == "FINISHED"
    params = run.data.params
    assert (params["retrieval.dim"], params["retrieval.hidden"], params["split.kind"]) == ("32", "[64, 32]", "temporal")
    assert params["retrieval.training.learning_rate"] == "0.001"
    assert not any(path.startswith(("tracking", "resources")) for path in params)
    history = client.get_metric_history(logged.run_id, "train_retrieval/ndcg_at_10")
    assert [(one.step, one.value) for one in history][:3] == [(1, 0.061), (2, 0.092), (3, 0.108)]
    assert history[1].timestamp - history[0].timestamp == 5_500
    assert [one.step for one in client.get_metric_history(logged.run_id, "train_ranking/loss")] == [1, 2, 3, 4, 5]
    assert run.data.metrics["test/path/ndcg_at_10"] == 0.142
    assert run.data.metrics["served/ndcg_at_10_low"] == 0.134
    assert run.data.metrics["validate/rows_out/quarantined_events"] == 1_489
    tags = run.data.tags
    assert tags["team"] == "search"
    assert tags["shortlist.release"] == MANIFEST.name
    assert tags["shortlist.data"] == "cd" * 32
    assert tags["mlflow.source.git.commit"].startswith("c0ffee")
    assert tags["mlflow.note.content"] == "Songs for listeners."
    assert {one.path for one in client.list_artifacts(logged.run_id)} == {
        *("report.html", "run.json", "recipe.yaml", "release")
    }
    assert run.info.artifact_uri.startswith(f"file://{folder.uri}/artifacts/")
    report = Path(client.download_artifacts(logged.run_id, "report.html"))
    assert report.read_bytes() == (tmp_path / "report.html").read_bytes()


def test_a_published_release_is_a_version_of_the_model_with_its_lineage(
    folder: Tracking, client: MlflowClient, tmp_path: Path
) -> None:
    logged = track(finished(tmp_path, "r2"), folder.model_copy(update={"model": "songs"}))
    version = client.get_model_version("songs", logged.model_version)
    assert version.source == f"s3://shop/releases/music/releases/{MANIFEST.name}"
    assert version.run_id == logged.run_id
    assert version.tags == {
        "shortlist.run": "r2",
        "shortlist.release": MANIFEST.name,
        "shortlist.replaces": "0123456789abcdef",
        "shortlist.recipe_sha256": "ab" * 32,
        "shortlist.code": "0.1.0+51ac0b32dd90",
        "shortlist.data": "cd" * 32,
        "shortlist.releases": "s3://shop/releases/music",
        "shortlist.address": f"s3://shop/releases/music/releases/{MANIFEST.name}",
    }


def test_a_refused_release_is_no_version(folder: Tracking, client: MlflowClient, tmp_path: Path) -> None:
    refused = finished(tmp_path, "r3", published=False)
    logged = track(refused, folder.model_copy(update={"model": "refused"}))
    assert logged.model_version is None
    assert not client.search_model_versions("name='refused'")
    assert client.get_run(logged.run_id).data.tags["shortlist.published"] == "false"


def test_logging_again_adds_nothing(folder: Tracking, client: MlflowClient, tmp_path: Path) -> None:
    run, settings = finished(tmp_path, "r4"), folder.model_copy(update={"model": "again"})
    first = track(run, settings)
    before = client.get_metric_history(first.run_id, "train_retrieval/loss")
    assert track(run, settings) == first
    after = client.get_metric_history(first.run_id, "train_retrieval/loss")
    assert [one.to_dictionary() for one in after] == [one.to_dictionary() for one in before]
    assert len(client.search_model_versions("name='again'")) == 1


def test_a_failed_run_that_finishes_later_is_the_same_run(
    folder: Tracking, client: MlflowClient, tmp_path: Path
) -> None:
    whole = finished(tmp_path, "r5")
    failed = dataclasses.replace(whole, records=whole.records[:3], record=None, files={}, failure="the disk is full")
    logged = track(failed, folder)
    run = client.get_run(logged.run_id)
    assert (run.info.status, run.data.tags["shortlist.failure"]) == ("FAILED", "the disk is full")
    assert run.data.metrics["prepare/rows_out/train_samples"] == 224_110
    assert track(whole, folder).run_id == logged.run_id
    run = client.get_run(logged.run_id)
    assert run.info.status == "FINISHED"
    assert "shortlist.failure" not in run.data.tags


def test_a_server_that_is_down_is_one_line_and_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    down = Tracking(uri=f"http://127.0.0.1:{free_ports(1)[0]}")
    run = finished(tmp_path, "r6")
    with pytest.raises(TrackingError, match="no MLflow server responds at http"):
        track(run, down)
    capsys.readouterr()
    track_or_warn(run, down)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("not tracked: no MLflow server responds at")
    assert line.endswith("to log it later: shortlist track RECIPE r6")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, dict[str, str], str]]:
    """The address of a server, and the variables and the bucket of its object store."""
    with moto_endpoint() as store:
        port, bucket = free_ports(1)[0], store.new_bucket()
        script = Path(__file__).parents[1] / "mlflow_server.py"
        command = [sys.executable, str(script), str(port), f"sqlite:///{tmp_path}/server.db", f"s3://{bucket}/mlflow"]
        log = (tmp_path / "server.log").open("w")
        env = os.environ | store.environment | {"MLFLOW_S3_ENDPOINT_URL": store.url}
        child = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        try:
            _wait(f"http://127.0.0.1:{port}/health", child)
            yield f"http://127.0.0.1:{port}", store.environment, bucket
        finally:
            child.terminate()
            child.wait()
            log.close()


def _wait(url: str, child: subprocess.Popen[bytes]) -> None:
    while child.poll() is None:
        try:
            urlopen(url, timeout=5).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    pytest.fail("the MLflow server did not start")


def test_a_server_keeps_the_artifacts_in_its_object_store(
    server: tuple[str, dict[str, str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, store, bucket = server
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    logged = track(finished(tmp_path / "run", "r7", url=str(tmp_path / "releases")), Tracking())
    assert logged.place.uri == url
    client = MlflowClient(url)
    # A server refuses a folder of this machine as a source, so that its own artifacts are the source.
    version = client.get_model_version("music", logged.model_version)
    run = client.get_run(logged.run_id)
    assert version.source == f"{run.info.artifact_uri}/release"
    keys = _keys(bucket, store)
    assert {key.rpartition("/artifacts/")[2] for key in keys} == {
        *("report.html", "run.json", "recipe.yaml", "release/manifest.json")
    }


def _keys(bucket: str, store: dict[str, str]) -> list[str]:
    s3 = boto3.client(
        "s3",
        endpoint_url=store["AWS_ENDPOINT_URL"],
        aws_access_key_id=store["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=store["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
    )
    return [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]]


def test_the_recipe_that_is_logged_is_the_one_that_ran(folder: Tracking, client: MlflowClient, tmp_path: Path) -> None:
    logged = track(finished(tmp_path, "r8", text=RECIPE.replace("dim: 32", "dim: 48")), folder)
    recipe = Path(client.download_artifacts(logged.run_id, "recipe.yaml")).read_text()
    assert "dim: 48" in recipe
