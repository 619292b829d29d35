"""The transformer in an environment of its locked requirements alone: nothing of the training, under 500 MB."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from released import wait_for_end

from shortlist.serving.ports import free_ports

ROOT = Path(__file__).parents[2]
MAX_MB = 500


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("transformer") / "venv"
    uv = shutil.which("uv", path=os.pathsep.join([str(ROOT / ".venv-uv/bin"), os.environ["PATH"]]))
    assert uv is not None, "uv makes the environments; `make setup` installs it"
    python = folder / "bin/python"
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(folder)], check=True)
    locked = ROOT / "requirements/transformer.txt"
    subprocess.run([uv, "pip", "sync", "-q", "--python", str(python), str(locked)], check=True)
    return python


def test_it_stays_small(python: Path) -> None:
    files = {}
    for path in python.parents[1].rglob("*"):
        if path.is_file() and not path.is_symlink():
            files[path.stat().st_ino] = path.stat().st_size
    assert sum(files.values()) / 1e6 < MAX_MB


def test_it_holds_nothing_of_the_training(python: Path) -> None:
    for module in ("torch", "polars", "pyarrow", "kfp", "great_expectations"):
        ended = subprocess.run([python, "-c", f"import {module}"], capture_output=True, text=True, check=False)
        assert "ModuleNotFoundError" in ended.stderr, module


def test_it_answers(python: Path, unranked: Path, tmp_path: Path) -> None:
    http_port, grpc_port = free_ports(2)
    arguments = ["--release", str(unranked), "--http_port", str(http_port), "--grpc_port", str(grpc_port)]
    # The flags of KServe's controller; a release without a ranker asks no predictor.
    arguments += ["--model_name", "mine", "--predictor_host", "mine-predictor.default"]
    log = tmp_path / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [python, "-m", "shortlist.serving.transformer", *arguments],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
            stdout=out,
            stderr=out,
            text=True,
        )
    try:
        body = json.dumps({"instances": [{"history": ["i1003", "i1004"], "k": 5}]}).encode()
        answer = json.loads(_post(f"http://127.0.0.1:{http_port}/v1/models/mine:predict", body, process, log))
        assert len(answer["predictions"][0]["items"]) == 5
        assert answer["predictions"][0]["degraded"] is False
        process.send_signal(signal.SIGTERM)
        assert wait_for_end(process) == 0
        assert log.read_text() == ""
    finally:
        process.kill()
        process.wait()


def _post(url: str, body: bytes, process: "subprocess.Popen[str]", log: Path) -> bytes:
    deadline = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, body), timeout=30) as answer:
                content: bytes = answer.read()
                return content
        except urllib.error.URLError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
