"""The images with torch in them, which take minutes and gigabytes: `make images-test`."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from containers import ROOT, ask, build, docker, inside, inspect, serving, stop

from benchmarks.made_release import make_release
from shortlist.serving.ports import free_ports

pytestmark = [pytest.mark.images, pytest.mark.timeout(3600)]

RECIPE = """
name: tiny
source: {kind: synthetic, users: 60, items: 200, events: 6000, days: 30}
split: {kind: temporal, test: 3d, valid: 3d}
interactions: {positive: played_ratio_pct >= 50}
features: {item: {id_dim: 16, title: title}}
retrieval: {dim: 16, hidden: [], training: {epochs: 1}}
ranking: {training: {epochs: 1}}
"""


@pytest.fixture(scope="module")
def predictor() -> str:
    return build("predictor")


@pytest.fixture(scope="module")
def pipeline() -> str:
    return build("pipeline")


def test_the_predictor_scores_on_a_read_only_file_system_and_ends_when_told(predictor: str, tmp_path: Path) -> None:
    release = tmp_path / "release"
    make_release(release, num_items=700, num_users=40)
    tmp_path.chmod(0o755)
    (port,) = free_ports(1)
    with serving(predictor, release, ["--port", str(port)]) as container:
        body = {"user_id": 1003, "candidates": [1001, 1002, 1003]}
        answer = ask(f"http://127.0.0.1:{port}/v1/models/shortlist:predict", body, container)
        assert [one["item_id"] for one in answer["scores"]] == [1001, 1002, 1003]
        assert stop(container) == 0


def test_none_of_them_can_build(predictor: str, pipeline: str) -> None:
    for image in (predictor, pipeline):
        assert inside(image, "sh", "-c", "command -v pip pip3 uv gcc; ls -d /build").stdout == ""
        assert inspect(image)["Config"]["User"] == "1000:1000"


def test_the_predictor_and_the_pipeline_share_the_layer_of_torch(predictor: str, pipeline: str) -> None:
    shared = set(inspect(predictor)["RootFS"]["Layers"]) & set(inspect(pipeline)["RootFS"]["Layers"])
    torch = inside(pipeline, "du", "-sm", "/opt/venv/lib/python3.11/site-packages/torch").stdout
    assert int(torch.split()[0]) > 100
    history = docker("history", "--no-trunc", "--format", "{{.Size}} {{.CreatedBy}}", pipeline)
    assert any("GB" in line.split()[0] for line in history.splitlines())
    assert len(shared) >= 4, "base, hardening, environment, torch"


def shortlist(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "shortlist.cli", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_containers_make_what_processes_make(pipeline: str, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    for runner in ("subprocess", "docker"):
        ended = shortlist("run", "tiny.yaml", "--no-answer", "--force", "--runner", runner, cwd=tmp_path)
        assert ended.returncode == 0, ended.stdout + ended.stderr
    by_process, by_docker = sorted((tmp_path / ".work/runs/tiny").glob("2*"))
    compared = shortlist("digests", str(by_process), str(by_docker), cwd=tmp_path)
    assert compared.returncode == 0, compared.stdout + compared.stderr
    owners = {path.stat().st_uid for path in by_docker.rglob("*")}
    assert owners == {os.getuid()}, "the outputs are the user's"


def test_a_step_in_a_container_says_why_it_failed(pipeline: str, tmp_path: Path) -> None:
    source = "source: {kind: files, events: [{path: nowhere.csv, columns: {user_id: u, item_id: i, time: t}}]}"
    lines = [source if line.startswith("source") else line for line in RECIPE.splitlines()]
    (tmp_path / "tiny.yaml").write_text("\n".join(lines))
    ended = shortlist("run", "tiny.yaml", "--no-answer", "--runner", "docker", cwd=tmp_path)
    assert ended.returncode == 1
    assert "ingest failed" in ended.stderr
    assert "nowhere.csv" in ended.stderr


def test_an_interrupt_leaves_no_container(pipeline: str, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(RECIPE.replace("events: 6000", "events: 3000000"))
    command = [sys.executable, "-m", "shortlist.cli", "run", "tiny.yaml", "--no-answer", "--runner", "docker"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    run = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    assert any(line.startswith("ingest") for line in run.stdout)
    (folder,) = (tmp_path / ".work/runs/tiny").glob("2*")
    ours = ["ps", "-q", "--filter", f"label=shortlist.run={folder.name}"]
    while not docker(*ours):
        assert run.poll() is None
        time.sleep(0.1)
    run.send_signal(signal.SIGINT)
    assert run.wait(60) == 130
    assert docker(*ours) == ""
